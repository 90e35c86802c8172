"""A secret does not show."""

import msgspec
import pytest
from msgspec import Struct

from parley.models.secret import Secret, decode_secret


class Holder(Struct):
    key: Secret


def test_it_never_shows() -> None:
    secret = Secret("sesame")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>9}", "%s" % secret, repr([secret])]  # noqa: UP031
    shown.append(repr(Holder(secret)))
    assert all("sesame" not in text and "***" in text for text in shown)
    with pytest.raises(TypeError):
        msgspec.json.encode(Holder(secret))


def test_it_is_a_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a").reveal() == "a"
    assert Secret("a") != "a"
    assert not Secret()


def test_settings_can_hold_one() -> None:
    assert msgspec.convert({"key": "sesame"}, Holder, dec_hook=decode_secret).key == Secret("sesame")
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"key": 5}, Holder, dec_hook=decode_secret)
