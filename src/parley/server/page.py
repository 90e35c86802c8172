"""The page: static files from memory, each with an ETag and, where it pays, compressed once."""

import gzip
import hashlib
import logging
import mimetypes
import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from html import escape
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from parley.core.errors import NotFound, Unavailable
from parley.server.auth import cookie_name
from parley.server.parts import Parts
from parley.server.sharing import UNLISTED
from parley.server.theme import dressed

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "page"
# By name, as the tables of operating systems differ.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
# A file's path behind the version that a page was made with.
VERSIONED = re.compile(r"([0-9a-f]{12})/(.+)")
FOREVER = "public, max-age=31536000, immutable"
COMPRESSED = (".html", ".css", ".js", ".mjs", ".json", ".svg", ".txt", ".webmanifest")
# Paths below which the page was asked for and is kept ready: there is one, or a few.
REMEMBERED = 8
# As long as a session can live.
COOKIE_SECONDS = 7 * 86_400
# What Ollama says here, and its clients look for.
RUNNING = "Ollama is running"


class Asset:
    """A file of the page."""

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        self.data = path.read_bytes() if data is None else data
        self.type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self.etag = f'"{hashlib.sha256(self.data).hexdigest()[:24]}"'
        self._compressible = path.suffix in COMPRESSED and len(self.data) > 500

    @cached_property
    def compressed(self) -> bytes | None:
        """The same, smaller."""
        return gzip.compress(self.data, 9, mtime=0) if self._compressible else None

    def respond(self, request: Request, status: int = 200, cache: str = "no-cache") -> Response:
        """Send it, or say that the client's copy is good."""
        headers = {"etag": self.etag, "cache-control": cache, "vary": "accept-encoding"}
        seen = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if self.etag in seen and status == 200:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", "") and self.compressed is not None:
            return Response(self.compressed, status, {**headers, "content-encoding": "gzip"}, self.type)
        return Response(self.data, status, headers, self.type)


def assets(folder: Path) -> Iterator[tuple[str, Asset]]:
    """Every file of a folder by its path in it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), Asset(path)


def version_of(found: dict[str, Asset]) -> str:
    """What names this very set of files."""
    return hashlib.sha256("\n".join(f"{path} {asset.etag}" for path, asset in found.items()).encode()).hexdigest()[:12]


def versioned(html: bytes, version: str) -> bytes:
    """The page's HTML with addresses of its files that name their version, so that a copy of them is good for ever."""
    return html.replace(b'="/static/', b'="/static/%s/' % version.encode())


def rooted(html: bytes, root: str) -> bytes:
    """The page's HTML below a path: every address in it that begins with a slash is below that path."""
    return re.sub(rb'(?<=[ \n])(href|src)="/', lambda found: b'%s="%s/' % (found[1], escape(root).encode()), html)


def routes(parts: Parts) -> list[BaseRoute]:
    """The page is open to everyone: it holds nothing, and asks for what it shows as its user."""
    found = dict(assets(FOLDER))
    if parts.config.theme is not None:
        others = dressed(parts.config.theme, found["index.html"].data, found["app.webmanifest"].data)
        found |= {path: Asset(FOLDER / path, data) for path, data in others.items()}
    version = version_of(found)
    page = Asset(FOLDER / "index.html", versioned(found["index.html"].data, version))

    async def root(request: Request) -> Response:
        """The page for browsers; a program that asks for no page is told what its clients of Ollama look for."""
        wants_page = "text/html" in request.headers.get("accept", "") or "token" in request.query_params
        response = await index(request) if wants_page else PlainTextResponse(RUNNING)
        response.headers.add_vary_header("accept")
        return response

    async def index(request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None:
            return await sign_in(request, token)
        return page_below(request.scope.get("root_path", "")).respond(request)

    @lru_cache(maxsize=REMEMBERED)
    def page_below(root: str) -> Asset:
        """The page as it is served below a path: its own addresses are absolute, as it is served at several."""
        return Asset(FOLDER / "index.html", rooted(page.data, root)) if root else page

    async def sign_in(request: Request, token: str) -> Response:
        """A link that carries a token: the browser keeps it in a cookie, and it leaves the address."""
        value = await parts.auth.cookie_for(token)
        host = request.headers.get("host", "")
        secure = request.url.scheme == "https" or f"https://{host}" in parts.config.origins
        home = request.scope.get("root_path", "") + "/"
        response = Response(status_code=303, headers={"location": home})
        response.set_cookie(
            cookie_name(host), value, max_age=COOKIE_SECONDS, path=home, httponly=True, samesite="lax", secure=secure
        )
        return response

    async def static(request: Request) -> Response:
        named = VERSIONED.fullmatch(request.path_params["path"])
        asset = found.get(named[2] if named else request.path_params["path"])
        if asset is None:
            raise HTTPException(404)
        # A page from before an update gets what there is: its parts that come late are better new than missing.
        return asset.respond(request, cache=FOREVER if named and named[1] == version else "no-cache")

    async def shared(request: Request) -> Response:
        """The page of a link. It looks for itself where the link leads; other programs are told by the status."""
        status = 200
        try:
            await parts.sharing.find(request.path_params["token"])
        except NotFound:
            status = 404
        except Unavailable:
            log.info("a link was not looked up, as the store is out of reach")  # the page comes back to it
        response = page_below(request.scope.get("root_path", "")).respond(request, status)
        response.headers.update(UNLISTED)
        return response

    # A conversation's address, and the link that the seed's pages know a session by: the page reads what is behind.
    table = {
        "/": root,
        "/c/{id}": index,
        "/chat/{token}": index,
        "/s/{token}": shared,
        "/embed": index,
        "/static/{path:path}": static,
    }
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in table.items()]
