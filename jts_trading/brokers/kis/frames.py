"""Frames of the socket to events and back: pure, and raises nothing but DecodeError.

Theory of operation. A frame is a data frame when it begins with 0 (plain) or 1 (encrypted), else a
JSON control message. The payload of a data frame is the fields of all its records in one row; the
width of a record is fields / records, never a constant, and the documented columns are its first.
Key and iv of an encrypted transaction come with the answer to its subscription and are passed in.
A plain notice of an own order is refused: the transport is not TLS, so it could be forged.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.errors import DecodeError, StreamOutcome, classify_stream
from jts_trading.brokers.kis.fields import (
    amount,
    count,
    day_of,
    decode,
    instant_ns,
    optional_price,
    order_number,
    price,
    side_of,
    symbol_id,
)
from jts_trading.domain.account_reports import FillNotice, NoticeKind, NoticeState, OrderNotice
from jts_trading.domain.instruments import Venue
from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import Aggressor, BookLevel, BookTick, TradeTick

BROKER = "kis"
RECORDS_MAX = 999
_BLOCK_BITS = 128
_TRADE = {name: at for at, name in enumerate(wire.TRADE_COLUMNS)}
_BOOK = {name: at for at, name in enumerate(wire.BOOK_COLUMNS)}
_NOTICE = {name: at for at, name in enumerate(wire.NOTICE_COLUMNS)}
_NOTICE_OLD = {name: at for at, name in enumerate(wire.NOTICE_COLUMNS_OLD)}
# The last columns that we read: a narrower record cannot be understood.
_TRADE_WIDTH_MIN = _TRADE["TRHT_YN"] + 1
_BOOK_WIDTH_MIN = _BOOK["ANTC_CNQN"] + 1
_AGGRESSORS = {"1": Aggressor.BUY, "3": Aggressor.AUCTION, "5": Aggressor.SELL}
_KINDS = {"0": NoticeKind.NEW, "1": NoticeKind.AMEND, "2": NoticeKind.CANCEL}
_STATES = {"1": NoticeState.RECEIVED, "2": NoticeState.CONFIRMED, "3": NoticeState.LAPSED}
_NOTICE_VENUES = {"1": Venue.KRX, "2": Venue.NXT, "3": Venue.KRX, "4": Venue.NXT}


class PingPong(msgspec.Struct, frozen=True):
    """The server asks whether we live; send `text` back as it is."""

    text: str


class StreamAnswer(msgspec.Struct, frozen=True):
    """The answer to a subscription or its end.

    Attributes:
        tr_id: Empty when the venue leaves it out, as it does for some errors.
        keys: Key and iv of the transaction, with a success.
    """

    tr_id: str
    tr_key: str
    outcome: StreamOutcome
    code: str
    text: str
    keys: wire.StreamKeys | None = None


StreamEvent = TradeTick | BookTick | OrderNotice | FillNotice
DecodedFrame = PingPong | StreamAnswer | tuple[StreamEvent, ...]


def decode_frame(
    raw: bytes,
    ts_recv_ns: int,
    *,
    keys: Mapping[str, wire.StreamKeys] | None = None,
    day: date | None = None,
) -> DecodedFrame:
    """Read one frame.

    Args:
        raw: The bytes of the message.
        ts_recv_ns: When we received it (UTC ns).
        keys: Key and iv by transaction id, from the answers to its subscriptions.
        day: Business date of frames that carry none (books, notices); the KST date of
            `ts_recv_ns` when None.

    Raises:
        DecodeError: The bytes are not what the venue documents; `reason` says in what way.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError("utf8", f"byte {error.start} of {len(raw)}") from None
    if text[:1] not in ("0", "1"):
        return _control(raw, text)
    parts = text.split("|", 3)
    if len(parts) != 4:
        raise DecodeError("frame", f"{text[:40]!r}; accepted: flag|tr_id|count|payload")
    flag, tr_id, records, payload = parts
    decoder = _DECODERS.get(tr_id)
    if decoder is None:
        raise DecodeError("tr_id", f"{tr_id[:20]!r}; accepted: {', '.join(_DECODERS)}")
    if flag == "1":
        payload = _decrypt(payload, (keys or {}).get(tr_id), tr_id)
    elif tr_id in wire.NOTICE_TRS:
        raise DecodeError("plain_notice", f"{tr_id} must be encrypted")
    return tuple(decoder(fields, day, ts_recv_ns) for fields in _records(payload, records))


def _control(raw: bytes, text: str) -> PingPong | StreamAnswer:
    message = decode(raw, wire.StreamControl)
    if message.header.tr_id == wire.TR_PINGPONG:
        return PingPong(text)
    body = message.body
    if body is None or not body.msg_cd:
        raise DecodeError("control", f"{text[:60]!r}; accepted: an answer with msg_cd")
    tr_id = "" if message.header.tr_id == "(null)" else message.header.tr_id
    return StreamAnswer(
        tr_id,
        message.header.tr_key,
        classify_stream(body.msg_cd),
        body.msg_cd,
        body.msg1.strip(),
        body.output if body.output and body.output.key else None,
    )


def _records(payload: str, records: str) -> list[list[str]]:
    if not (records.isascii() and records.isdigit()) or not 0 < int(records[:9]) <= RECORDS_MAX:
        raise DecodeError("count", f"{records[:20]!r}; accepted: 001 to {RECORDS_MAX}")
    number = int(records)
    fields = payload.split("^")
    width, rest = divmod(len(fields), number)
    if rest:
        raise DecodeError("width", f"{len(fields)} fields are not {number} equal records")
    return [fields[at : at + width] for at in range(0, len(fields), width)]


def _decrypt(payload: str, keys: wire.StreamKeys | None, tr_id: str) -> str:
    if keys is None:
        raise DecodeError("key", f"no key of {tr_id}: its subscription was not answered")
    try:
        decryptor = Cipher(AES(keys.key.encode()), CBC(keys.iv.encode())).decryptor()
        padded = decryptor.update(base64.b64decode(payload, validate=True)) + decryptor.finalize()
        unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
        plain = unpadder.update(padded) + unpadder.finalize()
    except (ValueError, binascii.Error) as error:
        raise DecodeError("decrypt", str(error)[:80]) from None
    # Names are cut by bytes and may end in half a letter; nothing that we read is a name.
    return plain.decode("utf-8", errors="replace")


def encrypt(plain: str, keys: wire.StreamKeys) -> str:
    """Return AES-256-CBC with PKCS7 in base64, as the venue sends notices."""
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    padded = padder.update(plain.encode()) + padder.finalize()
    encryptor = Cipher(AES(keys.key.encode()), CBC(keys.iv.encode())).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def _require_width(fields: list[str], least: int, tr_id: str) -> None:
    if len(fields) < least:
        raise DecodeError("width", f"{tr_id} has {len(fields)} fields; accepted: {least} and more")


def _day(day: date | None, ts_recv_ns: int) -> date:
    return local_date(Venue.KRX, ts_recv_ns) if day is None else day


def _trade(fields: list[str], day: date | None, ts_recv_ns: int) -> TradeTick:
    _require_width(fields, _TRADE_WIDTH_MIN, wire.TR_TRADE)
    stamp = fields[_TRADE["BSOP_DATE"]]
    on = day_of(stamp, "BSOP_DATE") if stamp else _day(day, ts_recv_ns)
    return TradeTick(
        instrument_id=symbol_id(fields[0]),
        venue=Venue.KRX,
        broker=BROKER,
        ts_event_ns=instant_ns(on, fields[1], "STCK_CNTG_HOUR"),
        ts_recv_ns=ts_recv_ns,
        price=price(fields[_TRADE["STCK_PRPR"]], "STCK_PRPR"),
        quantity=count(fields[_TRADE["CNTG_VOL"]], "CNTG_VOL"),
        aggressor=_AGGRESSORS.get(fields[_TRADE["CCLD_DVSN"]], Aggressor.UNKNOWN),
        cumulative_quantity=count(fields[_TRADE["ACML_VOL"]], "ACML_VOL"),
        bid=optional_price(fields[_TRADE["BIDP1"]], "BIDP1"),
        ask=optional_price(fields[_TRADE["ASKP1"]], "ASKP1"),
        is_halted=fields[_TRADE["TRHT_YN"]] == "Y",
    )


def _book(fields: list[str], day: date | None, ts_recv_ns: int) -> BookTick:
    _require_width(fields, _BOOK_WIDTH_MIN, wire.TR_BOOK)
    expected = optional_price(fields[_BOOK["ANTC_CNPR"]], "ANTC_CNPR")
    # Outside auctions the other expected fields are meaningless.
    quantity = count(fields[_BOOK["ANTC_CNQN"]], "ANTC_CNQN") if expected else None
    return BookTick(
        instrument_id=symbol_id(fields[0]),
        venue=Venue.KRX,
        broker=BROKER,
        ts_event_ns=instant_ns(_day(day, ts_recv_ns), fields[1], "BSOP_HOUR"),
        ts_recv_ns=ts_recv_ns,
        asks=_levels(fields, _BOOK["ASKP1"], _BOOK["ASKP_RSQN1"]),
        bids=_levels(fields, _BOOK["BIDP1"], _BOOK["BIDP_RSQN1"]),
        expected_price=expected,
        expected_quantity=quantity,
    )


def _levels(fields: list[str], prices_at: int, sizes_at: int) -> tuple[BookLevel, ...]:
    levels = []
    for offset in range(wire.BOOK_LEVELS):
        at = optional_price(fields[prices_at + offset], "price of a level")
        if at is not None:
            levels.append(BookLevel(at, count(fields[sizes_at + offset], "size of a level")))
    return tuple(levels)


def _notice(fields: list[str], day: date | None, ts_recv_ns: int) -> OrderNotice | FillNotice:
    is_old = len(fields) < len(wire.NOTICE_COLUMNS)
    columns = _NOTICE_OLD if is_old else _NOTICE
    _require_width(fields, len(columns), "H0STCNI")
    row = {name: fields[at].strip() for name, at in columns.items()}
    kind = _KINDS.get(row["RCTF_CLS"])
    if kind is None or row["CNTG_YN"] not in ("1", "2"):
        found = (row["RCTF_CLS"][:8], row["CNTG_YN"][:8])
        raise DecodeError("notice", f"RCTF_CLS and CNTG_YN are {found}; accepted: 0-2 and 1-2")
    venue = _NOTICE_VENUES.get(row.get("ORD_EXG_GB", "1"), Venue.KRX)
    about: dict[str, Any] = {
        "broker": BROKER,
        "account": row["ACNT_NO"],
        "order_no": order_number(row["ODER_NO"]),
        "branch": row["BRNC_NO"],
        "instrument_id": symbol_id(row["STCK_SHRN_ISCD"], venue),
        "venue": venue,
        "side": side_of(row["SELN_BYOV_CLS"]),
        "ts_event_ns": instant_ns(_day(day, ts_recv_ns), row["STCK_CNTG_HOUR"], "STCK_CNTG_HOUR"),
        "ts_recv_ns": ts_recv_ns,
    }
    if row["CNTG_YN"] == "2":
        return FillNotice(
            quantity=_above_zero(row["CNTG_QTY"], "CNTG_QTY"),
            price=price(row["CNTG_UNPR"], "CNTG_UNPR"),
            order_quantity=count(row["ODER_QTY"], "ODER_QTY"),
            **about,
        )
    original = row["OODER_NO"]
    return OrderNotice(
        original_order_no=order_number(original) if original.strip("0") else None,
        kind=kind,
        state=_notice_state(row),
        # Which of two fields holds the order's own numbers differs between reports.
        quantity=count(row["ODER_QTY"] or row["CNTG_QTY"], "ODER_QTY"),
        price=optional_price(row["ODER_PRC"], "ODER_PRC")
        or optional_price(row["CNTG_UNPR"], "CNTG_UNPR"),
        **about,
    )


def _above_zero(text: str, field: str) -> Decimal:
    value = amount(text, field)
    if value <= 0:
        raise DecodeError("number", f"{field} is {text[:40]!r}; accepted: above 0")
    return value


def _notice_state(row: Mapping[str, str]) -> NoticeState:
    if row["RFUS_YN"] == "1":
        return NoticeState.REJECTED
    state = _STATES.get(row["ACPT_YN"])
    if state is None:
        raise DecodeError("notice", f"ACPT_YN is {row['ACPT_YN'][:8]!r}; accepted: 1 to 3")
    return state


_DECODERS: dict[str, Callable[[list[str], date | None, int], StreamEvent]] = {
    wire.TR_TRADE: _trade,
    wire.TR_BOOK: _book,
    wire.TR_NOTICE_REAL: _notice,
    wire.TR_NOTICE_PAPER: _notice,
}


def encode_data(
    tr_id: str, records: Sequence[Sequence[str]], keys: wire.StreamKeys | None = None
) -> str:
    """Return a data frame; encrypted when keys are given.

    Raises:
        ValueError: There is no record, too many, or they differ in width.
    """
    if not 0 < len(records) <= RECORDS_MAX or len({len(record) for record in records}) != 1:
        raise ValueError(f"{len(records)} records; accepted: 1 to {RECORDS_MAX} of one width")
    payload = "^".join(field for record in records for field in record)
    flag, payload = ("0", payload) if keys is None else ("1", encrypt(payload, keys))
    return f"{flag}|{tr_id}|{len(records):03d}|{payload}"


def encode_subscription(
    approval_key: str, tr_id: str, tr_key: str, *, is_end: bool = False
) -> str:
    """Return the message that begins or ends a registration."""
    message = {
        "header": {
            "approval_key": approval_key,
            "custtype": "P",
            "tr_type": "2" if is_end else "1",
            "content-type": "utf-8",
        },
        "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}},
    }
    return msgspec.json.encode(message).decode()


def encode_pingpong(ts_ns: int) -> str:
    """Return the server's question, dated in KST."""
    seconds = timedelta(microseconds=ts_ns // 1000 + 9 * 3600 * 1_000_000)
    midnight = date(1970, 1, 1) + timedelta(days=seconds.days)
    hours, rest = divmod(seconds.seconds, 3600)
    stamp = f"{midnight:%Y%m%d}{hours:02d}{rest // 60:02d}{rest % 60:02d}"
    message = {"header": {"tr_id": wire.TR_PINGPONG, "datetime": stamp}}
    return msgspec.json.encode(message).decode()
