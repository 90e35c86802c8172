"""Which model answers: the order of the search, and what is said of servers that do not answer."""

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.cli import model_search
from parley.cli.model_search import Choice, search
from parley.cli.settings import load
from parley.cli.sources import Environment, SettingsError
from parley.models.discovery import offered
from parley.models.secret import Secret
from tests.redis_servers import free_port

SECRET = "s3cr3t-k3y"


class Upstream(http.server.ThreadingHTTPServer):
    """Lists models, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.port = int(self.server_address[1])
        self.status = 200
        self.body: object = {"data": [{"id": "llama", "owned_by": "library"}, {"id": "qwen"}]}
        self.delay = 0.0
        self.asked: list[tuple[str, str]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        time.sleep(self.server.delay)
        body = self.server.body if isinstance(self.server.body, bytes) else json.dumps(self.server.body).encode()
        self.send_response(self.server.status)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else of this machine answers."""
    monkeypatch.setattr(model_search, "PORTS", {})


def found(directory: Path, flags: dict[str, object] | None = None, /, **variables: str) -> Choice:
    settings = load(flags or {}, {"HOME": "/", **variables}, directory)
    return search(settings, Environment(variables, directory))


def test_the_flag_wins_and_its_server_is_asked_for_its_models(tmp_path: Path, upstream: Upstream) -> None:
    choice = found(tmp_path, {"model_url": upstream.url}, OPENAI_BASE_URL="http://127.0.0.1:1")
    assert [model.name for model in choice.models] == ["llama", "qwen"]
    assert {model.url for model in choice.models} == {upstream.url}
    assert choice.models[0].backend == "ollama"
    assert "--model-url" in choice.why
    assert upstream.asked == [("/v1/models", "")]


def test_a_named_model_is_taken_without_asking(tmp_path: Path) -> None:
    url = f"http://user:{SECRET}@127.0.0.1:{free_port()}/v1"
    choice = found(tmp_path, {"model_url": url, "model": "big"})
    assert [(model.name, model.model, model.url) for model in choice.models] == [("big", "big", url)]
    assert SECRET not in choice.why


def test_our_variable_with_its_key(tmp_path: Path, upstream: Upstream) -> None:
    choice = found(tmp_path, PARLEY_MODEL_URL=upstream.url, PARLEY_MODEL_KEY=SECRET)
    assert choice.models[0].api_key.reveal() == SECRET
    assert upstream.asked == [("/v1/models", f"Bearer {SECRET}")]
    assert "PARLEY_MODEL_URL" in choice.why


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", f"http://u:{SECRET}@127.0.0.1:1", "ftp://h", f"http://u:{SECRET}@:x"]
)
def test_our_own_setting_that_does_not_answer_is_an_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        found(tmp_path, {"model_url": url})
    assert SECRET not in str(caught.value)
    assert "--model" in str(caught.value)


def test_the_models_of_the_file(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "parley.toml").write_text(
        '[[models]]\nname = "a"\nurl = "http://h"\nmodel = "x"\n[[models]]\nname = "b"\nurl = "http://h"\nmodel = "y"\n'
    )
    assert [model.name for model in found(tmp_path, OLLAMA_HOST=upstream.url).models] == ["a", "b"]
    assert [model.name for model in found(tmp_path, {"model": "b"}).models] == ["b", "a"]
    assert not upstream.asked
    flag = found(tmp_path, {"model_url": upstream.url, "model": "a"})
    assert [(model.name, model.model) for model in flag.models] == [("a", "a"), ("b", "y")]
    with pytest.raises(SettingsError, match="'c' is not among a, b"):
        found(tmp_path, {"model": "c"})


def test_openai_s_variables(tmp_path: Path, upstream: Upstream) -> None:
    choice = found(tmp_path, OPENAI_BASE_URL=f"{upstream.url}/v1", OPENAI_API_KEY=SECRET, OLLAMA_HOST="127.0.0.1:1")
    assert choice.models[0].url == f"{upstream.url}/v1"
    assert upstream.asked == [("/v1/models", f"Bearer {SECRET}")]


@pytest.mark.parametrize(
    "form", ["127.0.0.1:{port}", "http://127.0.0.1:{port}", "0.0.0.0:{port}", "http://127.0.0.1:{port}/"]
)
def test_ollama_s_own_variable(tmp_path: Path, upstream: Upstream, form: str) -> None:
    choice = found(tmp_path, OLLAMA_HOST=form.format(port=upstream.port))
    assert choice.models[0].name == "llama"
    assert choice.models[0].url == upstream.url


def test_the_course_s_ollama_behind_basic_authentication(tmp_path: Path, upstream: Upstream) -> None:
    variables = {"AUTH": "uid:sec/ret", "OLLAMA_HOST": f"127.0.0.1:{upstream.port}"}
    choice = found(tmp_path, OLLAMA_PROTO="http", **variables)
    assert choice.models[0].url == f"http://uid:sec%2Fret@127.0.0.1:{upstream.port}"
    assert upstream.asked == [("/v1/models", "Basic dWlkOnNlYy9yZXQ=")]
    assert "sec" not in choice.why
    named = found(tmp_path, {"model": "llama3.1:8b"}, AUTH="uid:secret", OLLAMA_HOST="ollama.example.com")
    assert named.models[0].url == "https://uid:secret@ollama.example.com"  # https unless told otherwise
    newer = found(tmp_path, OLLAMA_HOSTPORT=f"127.0.0.1:{upstream.port}", OLLAMA_AUTH="a:b", OLLAMA_PROTO="http")
    assert newer.models[0].url == f"http://a:b@127.0.0.1:{upstream.port}"


def test_the_tutorial_s_hugging_face_model(tmp_path: Path) -> None:
    for token in ("HUGGINFACE_INFERENCE_TOKEN", "HUGGINGFACE_INFERENCE_TOKEN", "HF_TOKEN"):
        choice = found(tmp_path, MODEL_URL="https://h.example.com/models/EleutherAI/gpt-j-6B", **{token: SECRET})
        (model,) = choice.models
        assert (model.name, model.kind, model.api_key.reveal()) == ("EleutherAI/gpt-j-6B", "huggingface", SECRET)
    assert found(tmp_path, MODEL_URL="https://h.example.com").models == ()  # a name too common to mean us alone


def test_another_program_s_variable_that_does_not_answer_is_noted(tmp_path: Path) -> None:
    choice = found(tmp_path, OLLAMA_HOST=f"127.0.0.1:{free_port()}", OPENAI_BASE_URL="http://127.0.0.1:x")
    assert choice.models == ()
    assert choice.why == "built in"
    assert len(choice.notes) == 2
    assert "OPENAI_BASE_URL" in choice.notes[0]
    assert "OLLAMA_HOST" in choice.notes[1]


def test_a_look_at_this_machine(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = free_port()
    monkeypatch.setattr(model_search, "PORTS", {silent: "Nobody", upstream.port: "Somebody"})
    choice = found(tmp_path)
    assert choice.why == f"Somebody at 127.0.0.1:{upstream.port}"
    assert [model.name for model in choice.models] == ["llama", "qwen"]
    assert [model.name for model in found(tmp_path, {"model": "qwen"}).models] == ["qwen"]
    assert found(tmp_path, {"model": "unknown"}).models == ()
    assert found(tmp_path, {"port": str(upstream.port)}).models == ()  # that is our own port


def test_a_look_is_short(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream.delay = 0.6
    monkeypatch.setattr(model_search, "PORTS", {upstream.port: "Slow"})
    assert found(tmp_path).models == ()


def test_models_that_do_not_talk_are_left_out(upstream: Upstream) -> None:
    names = ["nomic-embed-text", "whisper-1", "gpt-5", "tts-1", "gpt-5", "bad\nname", "", 7, "gpt-image-1", "x" * 201]
    upstream.body = {"data": [{"id": name} for name in names]}
    assert offered(upstream.url, Secret(), 1).names == ("gpt-5",)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data": 3}',
        b'{"data": [1]}',
        b'{"data": [{}]}',
        b"[" * 100_000,
        {"data": [{"id": "a", "owned_by": "parley"}]},
    ],
)
def test_what_is_no_list_of_models(upstream: Upstream, body: object) -> None:
    upstream.body = body
    with pytest.raises(OSError, match=r"it (does not list models|is another Parley)"):
        offered(upstream.url, Secret(), 1)


def test_a_refusal_is_told_by_its_number(tmp_path: Path, upstream: Upstream) -> None:
    upstream.status = 401
    with pytest.raises(SettingsError, match="it answered 401"):
        found(tmp_path, {"model_url": upstream.url})
