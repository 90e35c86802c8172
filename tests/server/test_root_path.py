"""Below a path: a proxy's, which takes it off or leaves it, and may say in a header what it is."""

import asyncio
import re

import pytest

from tests.server.harness import House, house
from tests.store.harness import run

BROWSER = {"accept": "text/html"}
ADDRESS = re.compile(r' (?:href|src)="(/[^"]*)"')


async def get(home: House, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    url = home.served[0].url + path
    async with home.http.get(url, headers=BROWSER | headers, allow_redirects=False) as answer:
        return answer.status, await answer.text(), {name.lower(): value for name, value in answer.headers.items()}


@pytest.mark.parametrize("taken_off", [True, False])
def test_every_address_of_the_page_is_below_the_path(taken_off: bool) -> None:
    async def main() -> None:
        async with house(root_path="/team/chat", access_key="key") as home:
            base = "" if taken_off else "/team/chat"
            for path in ("/", "/c/x"):
                status, page, _ = await get(home, base + path)
                assert status == 200
                found = ADDRESS.findall(page)
                assert len(found) > 10
                assert all(address.startswith("/team/chat/") for address in found)
                for address in set(found):
                    assert (await get(home, address.removeprefix("/team/chat") if taken_off else address))[0] == 200
            status, _, headers = await get(home, f"{base}/?token=key")
            assert (status, headers["location"]) == (303, "/team/chat/")
            assert "Path=/team/chat/;" in headers["set-cookie"]

    run(main())


def test_a_header_says_the_path_where_it_is_believed_and_could_be_one() -> None:
    async def main() -> None:
        async with house(root_path="x-forwarded-prefix") as home:
            for given, base in (
                ("/a", "/a"),
                ("/a/b/", "/a/b"),
                ("", ""),
                ('/"><script>', ""),
                ("//elsewhere.example", ""),
                ("https://elsewhere.example", ""),
            ):
                _, page, _ = await get(home, "/", **{"x-forwarded-prefix": given})
                assert re.search(rf'src="{base}/static/[0-9a-f]{{12}}/js/main.js"', page)
        async with house() as home:
            _, page, _ = await get(home, "/", **{"x-forwarded-prefix": "/a"})
            assert re.search(r'src="/static/[0-9a-f]{12}/js/main.js"', page)

    run(main())


def test_many_paths_are_asked_for_at_once() -> None:
    async def main() -> None:
        async with house(root_path="x-forwarded-prefix") as home:
            paths = [f"/p{number}" for number in range(30)]
            found = await asyncio.gather(*(get(home, "/", **{"x-forwarded-prefix": path}) for path in paths))
            for path, (_, page, headers) in zip(paths, found, strict=True):
                assert f'src="{path}/static/' in page
                assert headers["etag"]

    run(main())
