"""Why a row may be refused, and what may be doubtful about one that is kept: closed lists."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a row went to quarantine; in order of precedence, the first that applies leads."""

    WRONG_TYPE = "wrong_type"
    NULL_VALUE = "null_value"
    NOT_FINITE = "not_finite"
    BAD_SYMBOL = "bad_symbol"
    TIMESTAMP_UNIT = "timestamp_unit"
    TIMESTAMP_RANGE = "timestamp_range"
    NOT_CLOSED = "not_closed"
    OFF_INTERVAL = "off_interval"
    TRADE_DATE_DIFFERS = "trade_date_differs"
    OFF_SESSION = "off_session"
    NEGATIVE_VOLUME = "negative_volume"
    NONPOSITIVE_PRICE = "nonpositive_price"
    MIXED_SCALE = "mixed_scale"
    OHLC_ORDER = "ohlc_order"
    OFF_SCALE = "off_scale"
    OUT_OF_RANGE = "out_of_range"
    DUPLICATE_CONFLICT = "duplicate_conflict"
    CONFLICTS_WITH_STORED = "conflicts_with_stored"


MEANING: dict[Reason, str] = {
    Reason.WRONG_TYPE: "a value is there but cannot be read as a time, date or number",
    Reason.NULL_VALUE: "a value that every bar needs is missing",
    Reason.NOT_FINITE: "a price or volume is NaN or infinite",
    Reason.BAD_SYMBOL: "the venue does not spell symbols so",
    Reason.TIMESTAMP_UNIT: "the time only makes sense in another unit, such as seconds for ms",
    Reason.TIMESTAMP_RANGE: "the time is before 1970-01-02 or after the load itself",
    Reason.NOT_CLOSED: "the bar had not ended when it was loaded",
    Reason.OFF_INTERVAL: "the time is not the start of a bar of this interval",
    Reason.TRADE_DATE_DIFFERS: "the file's session date is not the session of the time",
    Reason.OFF_SESSION: "the venue's calendar has no session on that day",
    Reason.NEGATIVE_VOLUME: "the volume is below zero",
    Reason.NONPOSITIVE_PRICE: "a price is zero or below and the bar is not a halted one",
    Reason.MIXED_SCALE: "prices of one row or one symbol stand on different scales",
    Reason.OHLC_ORDER: "high or low does not enclose open and close",
    Reason.OFF_SCALE: "a value has more decimal places than the venue's prices or volumes",
    Reason.OUT_OF_RANGE: "a value has more digits than can be stored",
    Reason.DUPLICATE_CONFLICT: "the file has another row with this key and other values",
    Reason.CONFLICTS_WITH_STORED: "a stored row with this key has other values",
}
"""One line per reason, for people."""


class Doubt(StrEnum):
    """Label in the column `quality` of rows that are kept."""

    OK = "ok"
    PRICE_JUMP = "price_jump"
    ZERO_VOLUME = "zero_volume"
    DISPUTED = "disputed"
    MISSING_TRADES = "missing_trades"


TAINTED = (Doubt.PRICE_JUMP.value, Doubt.DISPUTED.value, Doubt.MISSING_TRADES.value)
"""Doubts for which a strategy that requires quality waits."""

DOUBT_MEANING: dict[Doubt, str] = {
    Doubt.OK: "nothing found",
    Doubt.PRICE_JUMP: "close moved beyond the daily limit: split, relisting or bad print",
    Doubt.ZERO_VOLUME: "prices moved inside the bar although nothing traded",
    Doubt.DISPUTED: "the file had another row with this key and other values",
    Doubt.MISSING_TRADES: "trades were lost before one of the bar, as recorded trades say",
}
"""One line per doubt, for people."""
