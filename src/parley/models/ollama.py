"""Where an Ollama is, by the variables that name it: its own (``host:port``), or the course's (``AUTH``, https)."""

from urllib.parse import quote, urlsplit

from parley.models.secret import Secret

HOSTS = ("OLLAMA_HOSTPORT", "OLLAMA_HOST", "OLLAMA_API_HOST")
AUTHS = ("OLLAMA_AUTH", "AUTH")
PORT = 11434


def locate(host: str, auth: str = "", *, proto: str = "", token: str = "") -> tuple[str, Secret]:
    """The URL, with credentials in it if there are a user and a secret, and the key if there is one.

    Args:
        host: a host, with or without a port or a scheme.
        auth: ``user:secret``, sent as Basic; or a key.
        proto: the scheme where the host has none; else it is https with `auth`, as the course's servers want it,
            and http without, as Ollama's own variable means it.
        token: the key where there is no `auth`.

    Raises:
        ValueError: it is not a host and port. The message never repeats it.
    """
    scheme, separator, address = host.rpartition("://")
    scheme = scheme if separator else (proto or ("https" if auth else "http")).removesuffix("://")
    address = address.rstrip("/")
    bare = urlsplit(f"{scheme}://{address}")
    try:
        port = bare.port
    except ValueError:
        raise ValueError("it is not a host and port") from None
    if bare.hostname in ("0.0.0.0", "::"):  # noqa: S104 (what Ollama was told to bind, not us)
        address = f"127.0.0.1:{port or PORT}"
    elif port is None and scheme == "http":
        address = f"{address}:{PORT}"
    user, colon, secret = auth.partition(":")
    who = f"{quote(user, safe='')}:{quote(secret, safe='')}@" if colon and "@" not in address else ""
    return f"{scheme}://{who}{address}", Secret("" if colon else auth or token)
