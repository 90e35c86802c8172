"""Images that programs showed: they are seen in the thread, nothing is fetched, and versions keep them."""

import asyncio
import base64
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from playwright.async_api import expect

from tests.browser.chromium import in_page, modules, play
from tests.browser.stage import call, ended, opened, parley, replies, stored, visit
from tests.system.deployment import Deployment, until

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def png(width: int, height: int, red: int, green: int, blue: int) -> str:
    """A picture of one colour, as a `data:` URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes((red, green, blue)) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()


WIDE, HIGH = png(900, 300, 70, 130, 180), png(200, 600, 200, 90, 60)


@pytest.fixture(scope="module")
def up() -> Iterator[Deployment]:
    """One that nobody hurts."""
    with parley() as made:
        yield made


def shown_by_a_program(up: Deployment, *images: str, text: str = "What is this?") -> str:
    """A conversation in which a client of Responses showed images; replies its id."""
    name: str = call(up, "/conversations", {"title": "Pictures"})["id"]
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": text}] if text else []
    parts += [{"type": "input_image", "image_url": image, "detail": "low"} for image in images]
    said: dict[str, Any] = {"model": "scripted", "conversation": name, "input": [{"role": "user", "content": parts}]}
    with OpenAI(base_url=f"{up.url}/v1", api_key="none") as client:
        client.responses.create(**said)
    until(lambda: stored(up, name)[-1]["status"] == "completed", what="the reply")
    return name


def test_images_are_shown_and_kept_by_new_versions(up: Deployment) -> None:
    async def main() -> None:
        name = await asyncio.to_thread(shown_by_a_program, up, WIDE, HIGH)
        async with visit(up) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            await ended(page)
            for number, size in ((1, [900, 300]), (2, [200, 600])):
                picture = page.get_by_role("img", name=f"Image {number} of 2")
                await expect(picture).to_be_visible()
                script = "(img) => img.decode().then(() => [img.naturalWidth, img.naturalHeight])"
                assert await picture.evaluate(script) == size
            said = stored(up, name)[0]["request"]["input"]
            assert [image["url"] for image in said[0]["images"]] == [WIDE, HIGH]
            await page.get_by_role("button", name="Ask again").click()
            await expect(page.get_by_text("2/2")).to_be_visible()
            await ended(page)
            assert stored(up, name)[1]["request"]["input"] == said
            await page.get_by_role("article", name="You").hover()
            await page.get_by_role("button", name="Edit message").click()
            await expect(page.get_by_role("img", name="Image")).to_have_count(2)
            await page.get_by_role("textbox", name="Edit message").fill("And what is that?")
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("3/3")).to_be_visible()
            await expect(replies(page)).to_contain_text("And what is that?")
            await ended(page)
            await expect(page.get_by_role("img", name="Image")).to_have_count(2)
            (kept,) = stored(up, name)[2]["request"]["input"]
            assert kept == {"role": "user", "content": "And what is that?", "images": said[0]["images"]}
            assert (watch.complaints, watch.requests) == ([], [])

    play(main())


def test_an_image_without_words_on_a_phone(up: Deployment) -> None:
    async def main() -> None:
        name = await asyncio.to_thread(shown_by_a_program, up, WIDE, text="")
        async with visit(up, color_scheme="dark", **PHONE) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            await ended(page)
            await expect(page.get_by_role("img", name="Image")).to_be_in_viewport()
            await expect(page.locator(".bubble")).to_be_hidden()
            await expect(page.get_by_role("button", name="Copy message")).to_be_hidden()
            assert await in_page(page, "() => document.documentElement.scrollWidth - innerWidth") == 0
            await page.get_by_role("button", name="Ask again").tap()
            await expect(page.get_by_text("2/2")).to_be_visible()
            await ended(page)
            first, second = stored(up, name)
            assert first["request"]["input"] == second["request"]["input"]
            assert watch.complaints == []

    play(main())


def test_what_is_no_picture_is_not_loaded() -> None:
    async def main() -> None:
        async with modules() as page:
            left: list[str] = []
            page.on("request", lambda request: left.append(request.url))
            script = """async (urls) => {
              const { pictures } = await import('/static/js/turn.js');
              const images = urls.map((url) => ({ url }));
              document.body.append(...pictures([{ role: 'user', content: '', images }]));
              return [...document.body.children].map((child) => child.localName);
            }"""
            urls = [
                "https://elsewhere.test/a.png",
                "//elsewhere.test/a.png",
                "/static/icon.svg",
                "data:text/html,<script>pwned=1</script>",
                "data:image/svg+xml;base64,PHN2Zy8+",
                "blob:http://page.test/1",
                "javascript:pwned=1",
                WIDE,
            ]
            assert await in_page(page, script, urls) == ["span"] * 7 + ["img"]
            await expect(page.get_by_text("Image 1 of 8 cannot be shown")).to_be_visible()
            modules_of_it = ("/js/", "/vendor/marked.js")
            assert [
                url for url in left if not url.startswith("data:") and not any(each in url for each in modules_of_it)
            ] == []

    play(main())


def test_what_called_functions_is_not_said_again_by_the_page(up: Deployment) -> None:
    async def main() -> None:
        name = call(up, "/conversations", {"title": "Functions"})["id"]
        turn = {
            "turn": "00000000000000bb",
            "request": {
                "input": [
                    {"role": "user", "content": "The weather?"},
                    {"role": "assistant", "content": "", "calls": [{"id": "c", "name": "weather", "arguments": "{}"}]},
                    {"role": "tool", "content": "Rain", "call": "c"},
                ]
            },
            "status": "completed",
            "text": "It rains.",
        }
        call(up, f"/conversations/{name}/turns/restore", {"turns": [turn]})
        async with visit(up) as (context, watch):
            page = await opened(context, f"{up.url}/c/{name}")
            await ended(page)
            await page.get_by_role("button", name="Ask again").click()
            await expect(page.locator("#banner")).to_contain_text("Only that program can say it again.")
            assert len(stored(up, name)) == 1
            assert watch.complaints == []

    play(main())
