"""Single fields of KIS: text to exact values, raising nothing but DecodeError."""

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import TypeVar

import msgspec

from jts_trading.brokers.kis.errors import DecodeError
from jts_trading.domain.calendars import NS_PER_S, midnight_ns
from jts_trading.domain.instruments import InstrumentError, Venue, instrument_id, normalise_symbol
from jts_trading.domain.market.costs import Side
from jts_trading.domain.sessions import KST_OFFSET_NS

SIDES = {"01": Side.SELL, "02": Side.BUY}
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,10})?")
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9])")
_DAY = re.compile(r"[0-9]{8}")
_DIGITS_MAX = 19
# Codes, days and seconds of a session repeat; refusals are never remembered.
_CACHE_SIZE = 16_384
T = TypeVar("T")


def amount(text: str, field: str) -> Decimal:
    """Read a number as the venue writes it.

    Raises:
        DecodeError: It is not one.
    """
    # Almost every field of a frame is plain digits.
    if text.isdigit() and text.isascii() and len(text) < _DIGITS_MAX:
        return Decimal(text)
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped) is None:
        raise DecodeError("number", f"{field} is {text[:40]!r}; accepted: such as -71000 or 1.43")
    return Decimal(stripped)


def count(text: str, field: str) -> Decimal:
    """Read a quantity or amount that is never negative.

    Raises:
        DecodeError: It is not one.
    """
    value = amount(text, field)
    if value < 0:
        raise DecodeError("number", f"{field} is {text[:40]!r}; accepted: 0 and above")
    return value


def price(text: str, field: str) -> Decimal:
    """Read a price above zero; a sign only tells the direction of the day.

    Raises:
        DecodeError: It is not one.
    """
    value = abs(amount(text, field))
    if not value:
        raise DecodeError("number", f"{field} is 0; accepted: a price")
    return value


def optional_price(text: str, field: str) -> Decimal | None:
    """Read a price; empty and zero mean that there is none.

    Raises:
        DecodeError: It is no number.
    """
    value = abs(amount(text, field)) if text.strip() else Decimal(0)
    return value or None


@lru_cache(_CACHE_SIZE)
def day_of(text: str, field: str) -> date:
    """Read YYYYMMDD.

    Raises:
        DecodeError: It is no date.
    """
    if _DAY.fullmatch(text) is None:
        raise DecodeError("date", f"{field} is {text[:40]!r}; accepted: YYYYMMDD")
    try:
        return _day(text)
    except ValueError:
        raise DecodeError("date", f"{field} is {text!r}; accepted: a date") from None


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


@lru_cache(_CACHE_SIZE)
def instant_ns(day: date, time: str, field: str) -> int:
    """Return UTC ns of a KST day and HHMMSS.

    Raises:
        DecodeError: The time is none.
    """
    found = _TIME.fullmatch(time)
    if found is None:
        raise DecodeError("time", f"{field} is {time[:40]!r}; accepted: HHMMSS")
    hours, minutes, seconds = (int(part) for part in found.groups())
    return midnight_ns(day) - KST_OFFSET_NS + (hours * 3600 + minutes * 60 + seconds) * NS_PER_S


def kst_time(ts_ns: int) -> str:
    """Return the time of day of an instant (UTC ns) in Korea, as HHMMSS."""
    second = (ts_ns + KST_OFFSET_NS) // NS_PER_S % 86_400
    return f"{second // 3600:02d}{second % 3600 // 60:02d}{second % 60:02d}"


@lru_cache(_CACHE_SIZE)
def symbol_id(text: str, venue: Venue = Venue.KRX) -> str:
    """Return the instrument id of a code as the venue sends it.

    Raises:
        DecodeError: It is no Korean code.
    """
    try:
        return str(instrument_id(venue, normalise_symbol(venue, text[:12])))
    except InstrumentError as error:
        raise DecodeError("symbol", str(error)) from None


def side_of(text: str) -> Side:
    """Return the side of an order.

    Raises:
        DecodeError: It is neither 01 (sell) nor 02 (buy).
    """
    if text not in SIDES:
        raise DecodeError("side", f"{text[:40]!r}; accepted: 01 and 02")
    return SIDES[text]


def decode(body: bytes, struct: type[T]) -> T:
    """Read a JSON body as a struct of `wire`.

    Raises:
        DecodeError: It is no JSON (an HTML page, say), or lacks a field.
    """
    try:
        return msgspec.json.decode(body, type=struct)
    except msgspec.ValidationError as error:
        raise DecodeError("shape", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("json", f"{str(error)[:80]}; found {body[:40]!r}") from None


def order_number(text: str) -> str:
    """Return an order number in ten digits, as some answers drop its zeros.

    Raises:
        DecodeError: It is no number above zero.
    """
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit() and 0 < int(stripped[:11]) < 10**10):
        raise DecodeError("order_number", f"{text[:40]!r}; accepted: ten digits")
    return stripped.zfill(10)
