"""Promises of secrets: they never show, however they are turned into text."""

import base64
import copy
import json
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.telemetry.secrets import MASK, Redactor, Secret, is_secret_name

CANARY = 'k4-"n\\ary/+%& 비밀'


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>40}".format, "%s".__mod__, ascii])
def test_secret_when_turned_into_text_then_is_masked(show):
    """No ordinary way to text shows the value."""
    shown = show(Secret(CANARY))

    assert MASK in shown
    assert CANARY not in shown


def test_secret_when_inside_a_container_then_is_masked():
    """A repr of what holds it does not show it either."""
    assert CANARY not in repr({"key": [Secret(CANARY)]})


def test_secret_when_revealed_then_is_the_value():
    """The one way to the value is by name."""
    assert Secret(CANARY).reveal() == CANARY


def test_secret_when_pickled_or_copied_then_refuses():
    """It does not leave the process by accident."""
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leave(Secret(CANARY))


def test_secret_when_compared_then_equals_only_the_same_value():
    """Secrets compare by value, and never equal their own text."""
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"
    assert not Secret("")


@pytest.mark.parametrize(
    "spelling",
    [
        CANARY,
        quote(CANARY, safe=""),
        json.dumps(CANARY),
        repr(CANARY),
        base64.b64encode(CANARY.encode()).decode(),
        CANARY.encode().hex(),
        json.dumps({"body": json.dumps({"key": CANARY}, ensure_ascii=False)}, ensure_ascii=False),
    ],
)
def test_redactor_when_a_value_is_quoted_then_masks_it(spelling: str):
    """Escapes and encodings do not carry a secret past the filter."""
    redactor = Redactor()
    redactor.register(Secret(CANARY))
    shown = redactor.text(f"before {spelling} after")

    assert MASK in shown
    assert "ary/" not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


def test_redactor_when_one_secret_holds_another_then_nothing_of_the_longer_shows():
    """The order of registration leaves no rest."""
    redactor = Redactor()
    redactor.register(Secret("abcdefgh"))
    redactor.register(Secret("abcdefgh-ijkl"))

    assert redactor.text("abcdefgh-ijkl") == MASK


def test_redactor_when_a_secret_is_short_then_spares_words_that_contain_it():
    """A short value is masked where it stands alone."""
    redactor = Redactor()
    redactor.register(Secret("pass"))

    assert redactor.text("passed with pass") == f"passed with {MASK}"


def test_redactor_when_a_url_carries_a_password_then_masks_it():
    """A DSN needs no registration."""
    shown = Redactor().text("postgresql://jts:hunter2@db.internal:5432/jts")

    assert shown == f"postgresql://jts:{MASK}@db.internal:5432/jts"


@given(st.text(min_size=6), st.text(), st.text())
def test_redactor_when_any_value_is_registered_then_it_never_passes(value, before, after):
    """For every value: its text does not come through, and other text is left alone."""
    redactor = Redactor()
    redactor.register(Secret(value))
    shown = redactor.text(before + value + after)

    if value.strip():
        assert value not in shown.replace(MASK, "\0")


@pytest.mark.parametrize(
    "name",
    ["appsecret", "app_key", "KIS_APPKEY", "accessToken", "Authorization", "password", "api-key"],
)
def test_secret_name_when_it_says_so_then_is_recognised(name: str):
    """Names of secret fields in the spellings of brokers."""
    assert is_secret_name(name.replace("-", "_"))


@pytest.mark.parametrize("name", ["symbol", "price", "event", "order_id", "pinned", "keyed"])
def test_secret_name_when_it_is_ordinary_then_is_left_alone(name: str):
    """Ordinary fields stay readable."""
    assert not is_secret_name(name)
