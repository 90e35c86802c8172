"""TLS: own CA, client certificates, what is checked, and what is said when something is wrong with them."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from parley.core.errors import Unavailable
from parley.core.event import Entry
from parley.core.pieces import Piece
from parley.core.reply import Reply
from parley.store.address import normalise
from parley.store.appender import Appender
from parley.store.bell import Bell
from parley.store.connect import ServerInfo, connect
from parley.store.link import Link
from parley.store.nodes import check, nodes
from tests.redis_cluster import bus_port, clustered
from tests.redis_sentinels import SERVICE, watching
from tests.redis_servers import Server, binaries, free_port, running
from tests.store.harness import PREFIX, Bench, on
from tests.store.test_acl import everything

SECRET = "s3cr3t-passw0rd"
Runner = Callable[[Coroutine[Any, Any, None]], None]

# Not every build has TLS; Debian's has.
BINARY = list(binaries().values())[-1]


class Authority:
    """A CA and the files of what it has signed."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self._ca = trustme.CA()
        self.path = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.path)

    def issue(self, identity: str, **options: Any) -> tuple[Path, Path]:
        """A certificate and its key."""
        made = self._ca.issue_cert(identity, **options)
        certificate = self._directory / f"{self._name}-{identity}.crt"
        key = certificate.with_suffix(".key")
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "own")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "other")


def options(pair: tuple[Path, Path], ca: Path, clients: str = "no") -> tuple[str, ...]:
    """What redis-server is given; it speaks nothing but TLS then, its unix socket apart."""
    certificate, key = map(str, pair)
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", str(ca))
    return (*files, "--tls-auth-clients", clients)


class Encrypted:
    """A server with a TLS port."""

    def __init__(self, server: Server, port: int) -> None:
        self.server, self.port = server, port

    def url(self, host: str = "localhost", /, **query: str | Path) -> str:
        more = "&".join(f"{name}={value}" for name, value in query.items())
        return f"rediss://{host}:{self.port}/0?{more}"


def encrypted(pair: tuple[Path, Path], ca: Path, clients: str = "no") -> Iterator[Encrypted]:
    port = free_port()
    with running(BINARY, "--tls-port", str(port), *options(pair, ca, clients), tcp=True) as server:
        yield Encrypted(server, port)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Encrypted]:
    yield from encrypted(authority.issue("localhost"), authority.path)


@pytest.fixture(scope="module")
def strict(authority: Authority) -> Iterator[Encrypted]:
    """One that wants certificates of its clients."""
    yield from encrypted(authority.issue("localhost"), authority.path, clients="yes")


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


def checked(url: str) -> ServerInfo:
    async def main() -> ServerInfo:
        client = nodes(url)
        try:
            return await check(client, PREFIX)
        finally:
            await client.aclose()

    return asyncio.run(main())


def refused(url: str, *codes: str) -> str:
    with pytest.raises(Unavailable) as caught:
        checked(url)
    text = str(caught.value)
    assert caught.value.code in (codes or ("redis_refused",)), text
    assert "\n" not in text
    assert "_ssl.c" not in text
    assert SECRET not in text
    return text


def test_an_own_ca(server: Encrypted, authority: Authority) -> None:
    assert checked(server.url(ssl_ca_certs=authority.path)).appends


def test_a_ca_that_is_not_known(server: Encrypted, other: Authority) -> None:
    for url in (server.url(), server.url(ssl_ca_certs=other.path)):
        text = refused(url)
        assert "certificate is refused" in text
        assert "ssl_ca_certs" in text


def test_a_wrong_name(server: Encrypted, authority: Authority) -> None:
    text = refused(server.url("127.0.0.1", ssl_ca_certs=authority.path))
    assert "not valid for '127.0.0.1'" in text
    assert checked(server.url("127.0.0.1", ssl_ca_certs=authority.path, ssl_check_hostname="no")).appends
    assert checked(server.url("127.0.0.1", ssl_cert_reqs="none")).appends


def test_an_expired_certificate(authority: Authority) -> None:
    day = timedelta(days=1)
    now = datetime.now(UTC)
    expired = authority.issue("localhost", not_before=now - 2 * day, not_after=now - day)
    for server in encrypted(expired, authority.path):
        assert "certificate has expired" in refused(server.url(ssl_ca_certs=authority.path))


def test_client_certificates(strict: Encrypted, authority: Authority, other: Authority) -> None:
    ca = {"ssl_ca_certs": authority.path}
    certificate, key = authority.issue("parley")
    assert checked(strict.url(**ca, ssl_certfile=certificate, ssl_keyfile=key)).appends
    # Whether the alert or the end of the connection is seen first is a matter of luck.
    either = ("redis_refused", "redis_unreachable")
    assert "client certificate" in refused(strict.url(**ca), *either)
    foreign, foreign_key = other.issue("parley")
    stranger = strict.url(**ca, ssl_certfile=foreign, ssl_keyfile=foreign_key)
    assert "client certificate" in refused(stranger, *either)
    assert "not the key" in refused(strict.url(**ca, ssl_certfile=certificate, ssl_keyfile=foreign_key))


def test_files_that_are_not_there(server: Encrypted, tmp_path: Path) -> None:
    for name in ("ssl_ca_certs", "ssl_certfile"):
        assert f"{name} names no file" in refused(server.url(**{name: tmp_path / "none.pem"}))


def test_a_key_with_a_password_asks_nobody(strict: Encrypted, authority: Authority) -> None:
    from cryptography.hazmat.primitives import serialization as forms

    certificate, plain = authority.issue("parley-locked")
    locked = plain.with_suffix(".locked")
    key = forms.load_pem_private_key(plain.read_bytes(), None)
    seal = forms.BestAvailableEncryption(SECRET.encode())
    locked.write_bytes(key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, seal))
    query = {"ssl_ca_certs": authority.path, "ssl_certfile": certificate, "ssl_keyfile": locked}
    assert checked(strict.url(**query, ssl_password=SECRET)).appends
    refused(strict.url(**query, ssl_password="wrong"))
    refused(strict.url(**query))


def test_tls_where_there_is_none_and_none_where_there_is(
    server: Encrypted, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.store.connect.CONNECT_TIMEOUT", 0.5)
    # Such a Redis waits for the rest of a command.
    wrong = refused(f"rediss://localhost:{server.server.port}/0?ssl_ca_certs={authority.path}", "redis_unreachable")
    assert "does it speak TLS at this port" in wrong
    assert "cannot be reached" in refused(f"redis://localhost:{server.port}/0", "redis_unreachable")


def test_a_server_that_answers_in_plain_text() -> None:
    async def main() -> str:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        plain = await asyncio.start_server(serve, "127.0.0.1")
        client = connect(f"rediss://127.0.0.1:{plain.sockets[0].getsockname()[1]}")
        with pytest.raises(Unavailable) as caught:
            await check(client, PREFIX)
        await client.aclose()
        plain.close()
        await plain.wait_closed()
        return str(caught.value)

    assert "begin with redis://" in asyncio.run(main())


@pytest.mark.parametrize(
    "text",
    [
        "redis://h?ssl_ca_certs=/ca",
        "unix:///x?ssl_certfile=/ca",
        "rediss://h?ssl_cert_reqs=maybe",
        "rediss://h?ssl_check_hostname=perhaps",
        "rediss://h?ssl_keyfile=/key",
        "rediss://h?ssl_ciphers=x",
    ],
)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        normalise(text)
    assert "ssl_" in str(caught.value)


def test_everything_works(loop: Runner, server: Encrypted, authority: Authority) -> None:
    async def main() -> None:
        bench = Bench(server.url(ssl_ca_certs=authority.path))
        try:
            await asyncio.wait_for(everything(bench), 60)
        finally:
            await bench.client.aclose()

    loop(main())


def test_links_over_tls(loop: Runner, strict: Encrypted, authority: Authority) -> None:
    """Scripts, appender and bell: whole replies, large ones too, and the link's end on both sides."""
    certificate, key = authority.issue("parley")
    url = strict.url(ssl_ca_certs=authority.path, ssl_certfile=certificate, ssl_keyfile=key)

    async def main() -> None:
        bench = Bench(url)
        runs = bench.runs()
        await runs.prepare()
        heard: list[Entry] = []
        bell = Bell(bench.client, bench.keys, lambda _, entry: heard.append(entry), lambda: None)
        appender = Appender(bench.client, bench.keys)
        tasks = [asyncio.create_task(bell.run()), asyncio.create_task(appender.run())]
        conversation = await bench.conversation()
        await bell.listen(conversation)
        await bench.say(conversation, "x" * 200_000)
        grant = await bench.take(runs)
        reply = Reply(generation=1)
        writing = appender.write(grant, reply, lambda: pytest.fail("lost"))
        text = "".join(f"{number} é " for number in range(20_000))
        for at in range(0, len(text), 997):
            reply.add(Piece(text[at : at + 997]))
            appender.notify(writing)
            if at == 997 * 60:
                await bench.client.client_kill_filter(_type="normal", skipme=True)
        async with asyncio.timeout(20):
            while reply.sent < reply.length:
                await asyncio.sleep(0.01)
        view = await bench.view(conversation)
        assert view.turns[grant.turn.id].body == text.encode()
        assert heard
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await bench.client.aclose()

    loop(main())


def test_a_link_over_tls_can_be_cut(loop: Runner, server: Encrypted, authority: Authority) -> None:
    async def main() -> None:
        client = connect(server.url(ssl_ca_certs=authority.path))
        for end in ("cut", "close"):
            link = await Link.open(client, lambda _: None)
            link.cut() if end == "cut" else await link.close()
            await asyncio.wait_for(link.lost, 5)
            link.send(b"nothing happens")
        await client.aclose()

    loop(main())


def test_sentinels_over_tls(authority: Authority, other: Authority) -> None:
    pair = authority.issue("127.0.0.1")
    settings = [f"{name.removeprefix('--')} {value}" for name, value in _pairs(options(pair, authority.path))]
    for server in encrypted(pair, authority.path):
        port = free_port()
        server.server.port = server.port  # what the sentinel tells
        lines = (*settings, f"tls-port {port}", "tls-replication yes")
        with watching(server.server, *lines):
            where = f"rediss+sentinel://127.0.0.1:{port}/{SERVICE}/0"
            assert checked(f"{where}?ssl_ca_certs={authority.path}").appends
            assert "certificate" in refused(f"{where}?ssl_ca_certs={other.path}")


def test_a_cluster_over_tls(authority: Authority, other: Authority) -> None:
    port = bus_port()
    more = ("--port", "0", "--tls-port", str(port), "--tls-cluster", "yes")
    pair = authority.issue("127.0.0.1")
    with clustered(*options(pair, authority.path), *more, primaries=1, replicas=0, binary=BINARY):
        where = f"rediss+cluster://127.0.0.1:{port}"
        assert checked(f"{where}?ssl_ca_certs={authority.path}").cluster
        assert "certificate" in refused(f"{where}?ssl_ca_certs={other.path}")
        assert "names no file" in refused(f"{where}?ssl_ca_certs=/nowhere/ca.pem")

        async def main() -> None:
            async with on(f"{where}?ssl_ca_certs={authority.path}") as bench:
                await bench.say(await bench.conversation(), "hello")
                assert (await bench.take(bench.runs())).turn.request.input[0].content == "hello"

        asyncio.run(main())


def _pairs(flat: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def test_the_default_checks_both_chain_and_name(server: Encrypted, authority: Authority) -> None:
    async def main() -> None:
        client = connect(server.url(ssl_ca_certs=authority.path))
        await client.ping()
        connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        context = connection.ssl_context.get()
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        await client.aclose()

    asyncio.run(main())
