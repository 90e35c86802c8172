"""Settings: which source wins, what every bad value is told, and the variables of the two seeds."""

import os
import re
from pathlib import Path

import pytest

from parley.cli import handoff
from parley.cli.settings import Settings, is_loopback, load, names
from parley.cli.sources import SettingsError, data_directory, read_dotenv
from parley.core.window import Window

SECRET = "s3cr3t-v4lue"


def settings(directory: Path, flags: dict[str, object] | None = None, /, **variables: str) -> Settings:
    return load(flags or {}, {"HOME": "/home/me", **variables}, directory)


def refused(directory: Path, flags: dict[str, object] | None = None, /, **variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(directory, flags, **variables)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_nothing_needs_to_be_set(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.host, found.port, found.prefix, found.shards, found.concurrency) == (
        "127.0.0.1",
        8000,
        "parley:",
        16,
        256,
    )
    assert not found.access_key
    assert not found.redis
    assert found.models == ()
    assert found.sources == {}
    assert found.loopback


def test_later_wins_and_each_value_tells_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "parley.toml").write_text(
        'port = 1001\nhost = "localhost"\nserves = 3\nprefix = "file:"\n[timing]\nlease = 2\n'
    )
    (tmp_path / ".env").write_text("PARLEY_PORT=1002\nPARLEY_SERVES=4\n")
    found = settings(tmp_path, {"port": "1004", "workers": None}, PARLEY_PORT="1003", PARLEY_TIMING_SCAN="0.25")
    assert (found.port, found.serves, found.host, found.prefix) == (1004, 4, "localhost", "file:")
    assert (found.timing.lease, found.timing.scan, found.timing.stall) == (2.0, 0.25, 60.0)
    assert found.source("port") == "--port"
    assert found.source("serves") == "PARLEY_SERVES in .env"
    assert found.source("host") == "parley.toml"
    assert found.source("timing.scan") == "PARLEY_TIMING_SCAN"
    assert found.source("workers") == "default"
    assert settings(tmp_path, PARLEY_PORT="1003").port == 1003
    assert settings(tmp_path).port == 1002


def test_every_setting_can_be_set_by_a_variable(tmp_path: Path) -> None:
    texts = {
        "host": "::1",
        "redis": "redis://h",
        "data": "/d",
        "model_url": "http://h",
        "prefix": "p:",
        "embed_origin": "https://h",
        "root_path": "/h",
        "proxies": "::1",
    }
    for name in names():
        value = texts.get(name, "7")
        found = settings(tmp_path, **{f"PARLEY_{name.replace('.', '_').upper()}": value})
        assert found.source(name) == f"PARLEY_{name.replace('.', '_').upper()}"


def test_some_limits_may_be_none(tmp_path: Path) -> None:
    for name in ("posts", "posts_per_address", "sessions", "logins", "session_tokens"):
        found = settings(tmp_path, **{f"PARLEY_LIMITS_{name.upper()}": "0"})
        assert getattr(found.limits, name) == 0
    for name in ("posts", "queue"):
        with pytest.raises(SettingsError, match="above zero"):
            settings(tmp_path, **{f"PARLEY_LIMITS_{name.upper()}": "-1"})
    with pytest.raises(SettingsError, match="proxies"):
        settings(tmp_path, PARLEY_PROXIES="10.0.0.0/8, nonsense")


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(
        f"""
        host = "0.0.0.0"
        access_key = "{SECRET}"
        origins = ["https://chat.example.com"]
        data = "~/elsewhere"

        [limits]
        queue = 3

        [lifetimes]
        cap = 0

        [[models]]
        name = "big"
        url = "https://user:{SECRET}@models.example.com/v1"
        model = "llama3.1:8b"
        api_key = "{SECRET}"
        fallbacks = ["small"]

        [[models]]
        name = "small"
        kind = "huggingface"
        url = "http://127.0.0.1:9090"

        [[assistants]]
        name = "Capitals"
        model = "small"
        instructions = "I name a country, you name its capital."
        window = {{ last = 4 }}
        parameters = {{ temperature = 0.2 }}
        """
    )
    found = settings(tmp_path, {"config": str(tmp_path / "other.toml")})
    assert [model.name for model in found.models] == ["big", "small"]
    assert found.models[0].api_key.reveal() == SECRET
    assert found.assistants[0].window == Window(last=4)
    assert found.assistants[0].parameters.temperature == 0.2
    assert found.limits.queue == 3
    assert found.origins == ("https://chat.example.com",)
    assert found.data == Path("~/elsewhere").expanduser()
    assert found.source("models") == "other.toml"
    assert SECRET not in repr(found)
    assert settings(tmp_path, PARLEY_CONFIG=str(tmp_path / "other.toml")) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot in parley.toml is not a setting: did you mean port?"),
        ("[timing]\nleese = 1", "timing.leese in parley.toml is not a setting: did you mean timing.lease?"),
        ("[nonsense]\nx = 1", "nonsense in parley.toml is not a setting"),
        ("timing = 3", "timing in parley.toml must be a table"),
        ("port = 0", "port (from parley.toml) cannot be used: Expected `int` >= 1"),
        ("port = '80'", None),
        ("port = 70000", "<= 65535"),
        ("port = true", "Expected `int`, got `bool`"),
        ("shards = 257", "shards (from parley.toml)"),
        ("prefix = ''", "prefix (from parley.toml) cannot be used"),
        ("prefix = 'a{b'", "without braces"),
        ("prefix = 'a b'", "spaces"),
        ("prefix = 'a*'", "wildcards"),
        ("host = ''", "host (from parley.toml) cannot be used"),
        ("host = '0.0.0.0'", "set an access key (PARLEY_ACCESS_KEY), or bind 127.0.0.1"),
        (
            "[lifetimes]\nconversation = -1",
            "lifetimes.conversation (from parley.toml) cannot be used: it must be above zero",
        ),
        ("[limits]\nqueue = 0", "limits.queue"),
        (
            "[[models]]\nname = 'm'\nurl = 'http://h/v1'",
            "models (from parley.toml) cannot be used: 'm': the upstream's name of the model (`model`) is missing",
        ),
        (
            "[[models]]\nname = 'm'\nurl = 'http://h'\nmodel = 'x'\nbackend = 'nonsense'",
            "models (from parley.toml) cannot be used: 'm': ",
        ),
        ("[limits]\nqueue = 1.5", "limits.queue (from parley.toml) cannot be used: Expected `int`, got `float`"),
        ("[timing]\nlease = nan", "timing.lease"),
        (f"redis = 'http://u:{SECRET}@h'", "redis (from parley.toml) cannot be used: it must begin with redis://"),
        (
            "[[models]]\nname = 'a'\nkind = 'other'",
            "models (from parley.toml) cannot be used: Invalid enum value 'other'",
        ),
        ("[[models]]\nurl = 'http://h'", "missing required field `name`"),
        ("[[models]]\nname = 'a'\nurll = 'http://h'", "unknown field `urll`"),
        ("[[assistants]]\nname = 'a'\nwindow = { first = 1 }", "unknown field `first`"),
        ("[[assistants]]\nname = 'a'\nwindow = { last = -1 }", "negative"),
        ("[[assistants]]\nname = 'a'\n[[assistants]]\nname = 'a'", "'a' is empty or there twice"),
        (
            "[[models]]\nname = 'm'\nurl = 'http://h'\nmodel = 'x'\n[[assistants]]\nname = 'a'\nmodel = 'n'",
            "'a' asks for the model 'n'",
        ),
        ("port = ", "the settings file"),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, text: str, said: str | None) -> None:
    (tmp_path / "parley.toml").write_text(text)
    if said is None:
        assert settings(tmp_path).port == 80
    else:
        assert said in refused(tmp_path)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PARLEY_PROT": "1"}, "PARLEY_PROT in the environment is not a setting: did you mean PARLEY_PORT?"),
        ({"PARLEY_PORT": "eighty"}, "port (from PARLEY_PORT) cannot be used"),
        ({"PARLEY_PORT": "0"}, "port (from PARLEY_PORT)"),
        ({"PARLEY_HOST": "192.168.1.2"}, "can be reached by others"),
        ({"PARLEY_REDIS": f"gopher://:{SECRET}@x"}, "redis (from PARLEY_REDIS)"),
        ({"REDIS_URL": f"gopher://:{SECRET}@x"}, "REDIS_URL cannot be used"),
        ({"REDIS_PREFIX": "a b"}, "prefix (from REDIS_PREFIX)"),
        ({"PARLEY_ACCESS_KEY_FILE": "/nowhere/key"}, "/nowhere/key cannot be read: No such file"),
        ({"PARLEY_CONFIG": "/nowhere/parley.toml"}, "/nowhere/parley.toml cannot be read"),
    ],
)
def test_what_the_environment_may_not_say(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    assert said in refused(tmp_path, **variables)


def test_a_flag_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    assert "port (from --port)" in refused(tmp_path, {"port": "http"})
    assert "redis (from --redis)" in refused(tmp_path, {"redis": f"ftp://u:{SECRET}@h"})
    for origin in ("shop.example", "https://shop.example/", "https://a; script-src *", "*"):
        assert "embed_origin (from --embed-origin)" in refused(tmp_path, {"embed_origin": origin})


def test_a_flag_can_hold_several(tmp_path: Path) -> None:
    found = load({"embed_origin": "https://shop.example, http://[::1]:8080"}, {}, tmp_path)
    assert found.embed_origin == ("https://shop.example", "http://[::1]:8080")


def test_wider_than_this_machine_takes_an_access_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    found = settings(tmp_path, {"host": "0.0.0.0"}, PARLEY_ACCESS_KEY_FILE=str(tmp_path / "key"))
    assert found.access_key.reveal() == SECRET
    assert found.source("access_key") == "PARLEY_ACCESS_KEY_FILE"
    assert not found.loopback
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", ""):
        assert not is_loopback(host)


def test_the_tutorial_s_environment_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        f"""# as in the tutorial
export REDIS_URL=redis-13262.c1.example.com:13262
export REDIS_USER=default
export REDIS_PASSWORD={SECRET}
export REDIS_HOST=redis-13262.c1.example.com
export REDIS_PORT=13262
export HUGGINFACE_INFERENCE_TOKEN='hf_x'
export MODEL_URL="https://models.example.com/models/EleutherAI/gpt-j-6B"   # the model
export APP_ENV=development
this is not an assignment
"""
    )
    found = settings(tmp_path)
    assert found.redis.reveal() == f"redis://default:{SECRET}@redis-13262.c1.example.com:13262"
    assert found.source("redis") == "REDIS_URL in .env"
    assert SECRET not in repr(found)
    values = dict(read_dotenv(tmp_path / ".env"))
    assert values["HUGGINFACE_INFERENCE_TOKEN"] == "hf_x"
    assert values["MODEL_URL"] == "https://models.example.com/models/EleutherAI/gpt-j-6B"


def test_the_course_s_variables(tmp_path: Path) -> None:
    found = settings(tmp_path, REDIS_URL=f"redis://me:{SECRET}@redis.svc:6379", REDIS_PREFIX="me:")
    assert found.redis.reveal() == f"redis://me:{SECRET}@redis.svc:6379"
    assert found.prefix == "me:"
    assert (
        settings(tmp_path, REDIS_HOST="h", REDIS_PORT="6380", REDIS_PASSWORD="p").redis.reveal() == "redis://:p@h:6380"
    )
    assert settings(tmp_path, REDIS_HOST="h").redis.reveal() == "redis://h"
    both = settings(tmp_path, REDIS_URL="redis://theirs", PARLEY_REDIS="redis://ours")
    assert both.redis.reveal() == "redis://ours"


def test_what_kubernetes_puts_into_the_environment_is_not_ours(tmp_path: Path) -> None:
    variables = {
        "PARLEY_PORT": "tcp://10.0.0.7:8000",
        "PARLEY_SERVICE_HOST": "10.0.0.7",
        "PARLEY_SERVICE_PORT_HTTP": "8000",
        "PARLEY_PORT_8000_TCP_ADDR": "10.0.0.7",
    }
    assert settings(tmp_path, **variables).port == 8000


def test_where_each_platform_keeps_data() -> None:
    assert data_directory({"HOME": "/home/me"}, "linux") == Path("/home/me/.local/share/parley")
    assert data_directory({"HOME": "/home/me", "XDG_DATA_HOME": "/x"}, "linux") == Path("/x/parley")
    assert data_directory({"HOME": "/h", "XDG_DATA_HOME": "relative"}, "linux") == Path("/h/.local/share/parley")
    assert data_directory({"HOME": "/Users/me"}, "darwin") == Path("/Users/me/Library/Application Support/parley")


def test_settings_are_handed_over_whole_and_more_than_once(tmp_path: Path) -> None:
    (tmp_path / "parley.toml").write_text(
        f'[[models]]\nname = "m"\nurl = "http://h"\nmodel = "x"\napi_key = "{SECRET}"\n[[assistants]]\nname = "a"\n'
    )
    found = settings(tmp_path, {"access_key": SECRET}, PARLEY_TIMING_LEASE="1.5")
    number = handoff.write(found)
    try:
        for _ in range(2):
            read = handoff.read({handoff.VARIABLE: str(number)})
            assert read == found
            assert read.access_key.reveal() == SECRET
    finally:
        os.close(number)
    assert handoff.read({}) is None
    assert not re.search("[^0-9]", str(number))
