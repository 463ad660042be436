"""Frames of the socket become events; anything else is a DecodeError that says why."""

import contextlib
import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.brokers.kis import frames, wire
from jts_trading.brokers.kis.errors import DecodeError, StreamOutcome
from jts_trading.domain.account_reports import FillNotice, NoticeState, OrderNotice
from jts_trading.domain.market.costs import Side
from jts_trading.domain.ticks import Aggressor, BookTick, TradeTick

DAY = date(2026, 11, 20)
RECV_NS = 1_795_137_331_000_000_000
KEYS = wire.StreamKeys(iv="0123456789abcdef", key="tstkeytstkeytstkeytstkeytstkey12")
_TRADE = (
    "005930^101530^71000^2^1000^1.43^70850.12^70200^71300^70100^71100^71000^37^8123456"
    "^575547832400^14102^18954^4852^111.30^3702145^4120377^1^0.51^52.81^090003^2^800^094210^5"
    "^-300^090125^2^900^20261120^20^N^12000^15000^169995^194955^0.14^6511880^124.75^0^^70000"
)
_BOOK = (
    "005930^101530^0^71100^71200^71300^71400^71500^71600^71700^71800^71900^72000^71000^70900"
    "^70800^70700^70600^70500^70400^70300^70200^70100^12000^13111^14222^15333^16444^17555^18666"
    "^19777^20888^21999^15000^15999^16998^17997^18996^19995^20994^21993^22992^23991^169995"
    "^194955^0^0^0^0^402118^-70000^5^-100.00^8123456^0^-37^0^0^0"
)
_NOTICE_CIPHER = (
    "p061wDWh+hC4ofDLc47zG3/B+NQdYidDXPaHL7UsvPtFgQ7SUkhHzVAM52/VL5YvR+GlsUKmeqvKWeO4i57eu8LK"
    "z+QKVyGbOw+uHQAIPgAfLmujrenzNuWrMQu6oK2elq8uir+hC2xSBpejKT4FyJABj6x0PdJgIMcQoMbBHVA="
)
_NOTICE = (
    "HTSID01^5000000001^0000117057^0000000000^02^0^00^0^005930^3^71000^093015^0^2^2^00950^10"
    "^홍길동^0^1^N^^00^^삼성전자^71000"
)


def _events(text: str, **more: object):
    return frames.decode_frame(text.encode(), RECV_NS, day=DAY, **more)


def _reason(raw: bytes, **more: object) -> str:
    with pytest.raises(DecodeError) as caught:
        frames.decode_frame(raw, RECV_NS, day=DAY, **more)
    return caught.value.reason


def test_trade_when_documented_then_is_read():
    """The documented example, field by field."""
    (tick,) = _events(f"0|H0STCNT0|001|{_TRADE}")

    assert isinstance(tick, TradeTick)
    assert (tick.instrument_id, tick.price, tick.quantity) == ("KRX:005930", 71000, 37)
    assert (tick.bid, tick.ask, tick.cumulative_quantity) == (71000, 71100, 8123456)
    assert tick.aggressor is Aggressor.BUY
    assert tick.ts_event_ns == 1_795_137_330_000_000_000


@pytest.mark.parametrize("records", [2, 4, 20])
def test_trades_when_in_a_batch_then_every_record_is_read(records: int):
    """A frame carries as many records as its count says."""
    ticks = _events(f"0|H0STCNT0|{records:03d}|" + "^".join([_TRADE] * records))

    assert len(ticks) == records


@pytest.mark.parametrize("more", ["", "^71050^4^1", "^1^2^3^4^5^6"])
def test_book_when_of_any_width_then_the_documented_columns_are_read(more: str):
    """59 fields are documented, 62 and 65 were seen."""
    (book,) = _events(f"0|H0STASP0|001|{_BOOK}{more}")

    assert isinstance(book, BookTick)
    assert [level.price for level in book.asks[:2]] == [71100, 71200]
    assert book.bids[0] == frames.BookLevel(Decimal(71000), Decimal(15000))
    assert (len(book.asks), len(book.bids)) == (10, 10)
    assert book.expected_price is None
    assert book.expected_quantity is None


def test_trade_when_records_grow_wider_then_is_still_read():
    """New columns at the end of a record do not hurt."""
    ticks = _events(f"0|H0STCNT0|002|{_TRADE}^new^{_TRADE}^new")

    assert [tick.price for tick in ticks] == [71000, 71000]


def test_fill_when_encrypted_then_is_decrypted():
    """The test vector of the protocol page."""
    (fill,) = _events(f"1|H0STCNI0|001|{_NOTICE_CIPHER}", keys={"H0STCNI0": KEYS})

    assert isinstance(fill, FillNotice)
    assert (fill.order_no, fill.quantity, fill.price) == ("0000117057", 3, 71000)
    assert (fill.side, fill.order_quantity) == (Side.BUY, 10)
    assert frames.encode_data("H0STCNI0", [_NOTICE.split("^")], KEYS).endswith(_NOTICE_CIPHER)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"CNTG_YN": "1", "ACPT_YN": "1"}, NoticeState.RECEIVED),
        ({"CNTG_YN": "1", "ACPT_YN": "2", "RCTF_CLS": "2"}, NoticeState.CONFIRMED),
        ({"CNTG_YN": "1", "ACPT_YN": "3"}, NoticeState.LAPSED),
        ({"CNTG_YN": "1", "RFUS_YN": "1"}, NoticeState.REJECTED),
    ],
)
def test_notice_when_not_a_fill_then_says_what_happened(
    changes: dict[str, str], state: NoticeState
):
    """Orders, amendments, cancels and refusals come in the same shape."""
    record = {**dict(zip(wire.NOTICE_COLUMNS, _NOTICE.split("^"), strict=True)), **changes}
    frame = frames.encode_data("H0STCNI9", [list(record.values())], KEYS)
    (notice,) = _events(frame, keys={"H0STCNI9": KEYS})

    assert isinstance(notice, OrderNotice)
    assert notice.state is state
    assert (notice.quantity, notice.price) == (10, 71000)


def test_notice_when_old_layout_then_width_decides():
    """The 23 fields of before Nextrade are understood."""
    old = [*_NOTICE.split("^")[:18], "삼성전자", "00", "", "삼성전자", "71000"]
    (fill,) = _events(frames.encode_data("H0STCNI0", [old], KEYS), keys={"H0STCNI0": KEYS})

    assert (fill.quantity, fill.venue) == (3, "KRX")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"0|H0STCNT0|001|\xff\xfe", "utf8"),
        (b"<html>busy</html>", "json"),
        (b"", "json"),
        (b"{}", "control"),
        (b"0|H0STCNT0|001", "frame"),
        (b"0|H0XXXXX0|001|a^b", "tr_id"),
        (b"0|H0STCNT0|000|a^b", "count"),
        (b"0|H0STCNT0|0x1|a^b", "count"),
        (b"0|H0STCNT0|003|a^b", "width"),
        (b"0|H0STCNT0|001|" + b"^".join([b"1"] * 30), "width"),
        (f"0|H0STCNI0|001|{_NOTICE}".encode(), "plain_notice"),
        (b"1|H0STCNI0|001|abcd", "key"),
        (f"0|H0STCNT0|001|{_TRADE}".replace("^71000^", "^x^").encode(), "number"),
        (f"0|H0STCNT0|001|{_TRADE}".replace("101530", "256199").encode(), "time"),
        (f"0|H0STCNT0|001|{_TRADE}".replace("20261120", "20261399").encode(), "date"),
        (f"0|H0STCNT0|001|{_TRADE}".replace("005930", "삼성전자").encode(), "symbol"),
    ],
)
def test_frame_when_spoilt_then_the_reason_is_named(raw: bytes, reason: str):
    """Each kind of damage has one short name, fit to be counted."""
    assert _reason(raw) == reason


@pytest.mark.parametrize("cipher", ["abcd", "!!!!", "", _NOTICE_CIPHER[:-24]])
def test_notice_when_cipher_is_damaged_then_decrypt_is_the_reason(cipher: str):
    """A broken cipher text never becomes a fill."""
    raw = f"1|H0STCNI0|001|{cipher}".encode()

    assert _reason(raw, keys={"H0STCNI0": KEYS}) in {"decrypt", "width"}


def test_answers_when_documented_then_outcome_and_keys_are_read():
    """An answer with success brings key and iv; an error may lack its header."""
    ack = {
        "header": {"tr_id": "H0STCNI0", "tr_key": "HTSID01", "encrypt": "Y"},
        "body": {
            "rt_cd": "0",
            "msg_cd": "OPSP0000",
            "msg1": "SUBSCRIBE SUCCESS",
            "output": {"iv": KEYS.iv, "key": KEYS.key},
        },
    }
    answer = _events(json.dumps(ack))
    assert (answer.tr_id, answer.outcome, answer.keys) == (
        *("H0STCNI0", StreamOutcome.REGISTERED),
        KEYS,
    )
    in_use = {"header": {"tr_id": "(null)", "tr_key": ""}}
    in_use["body"] = {"rt_cd": "9", "msg_cd": "OPSP8996", "msg1": "ALREADY IN USE appkey"}
    answer = _events(json.dumps(in_use))
    assert (answer.tr_id, answer.outcome, answer.keys) == ("", StreamOutcome.IN_USE, None)
    full = _events('{"body":{"rt_cd":"1","msg_cd":"OPSP0008","msg1":"MAX SUBSCRIBE OVER"}}')
    assert full.outcome is StreamOutcome.FULL


def test_pingpong_when_asked_then_its_own_text_is_kept():
    """The echo has to be the same text."""
    text = frames.encode_pingpong(1_795_137_330_000_000_000)

    assert json.loads(text)["header"]["datetime"] == "20261120101530"
    assert _events(text) == frames.PingPong(text)


@settings(deadline=None)
@given(raw=st.binary(max_size=300))
def test_frames_when_bytes_are_random_then_only_decode_error(raw: bytes):
    """No bytes whatever make the codec fail in another way."""
    with contextlib.suppress(DecodeError):
        frames.decode_frame(raw, RECV_NS, day=DAY, keys={"H0STCNI0": KEYS})


_FIELDS = st.sampled_from(
    ["", "0", "1", "2", "005930", "101530", "71000", "-5", "x", "٣", "20261120"]
)


@settings(deadline=None)
@given(
    tr_id=st.sampled_from(["H0STCNT0", "H0STASP0", "H0STCNI0", "H0STCNI9", "PINGPONG"]),
    records=st.sampled_from(["001", "002", "003", "-01", "999", "٣"]),
    fields=st.lists(_FIELDS | st.text(max_size=8), max_size=130),
    is_encrypted=st.booleans(),
)
def test_frames_when_fields_are_wrong_then_only_decode_error(
    tr_id: str, records: str, fields: list[str], is_encrypted: bool
):
    """Frames of the right outside and any inside are events or a DecodeError."""
    payload = "^".join(fields)
    if is_encrypted:
        payload = frames.encrypt(payload, KEYS)
    text = f"{int(is_encrypted)}|{tr_id}|{records}|{payload}"
    with contextlib.suppress(DecodeError):
        frames.decode_frame(
            text.encode(), RECV_NS, day=DAY, keys={"H0STCNI0": KEYS, "H0STCNI9": KEYS}
        )


@settings(deadline=None)
@given(at=st.integers(0, 45), text=st.text(max_size=12))
def test_trade_when_one_field_is_spoilt_then_only_decode_error(at: int, text: str):
    """Every field of a real frame is read, ignored or refused."""
    record = _TRADE.split("^")
    record[at] = text
    with contextlib.suppress(DecodeError):
        _events("0|H0STCNT0|001|" + "^".join(record))


@settings(deadline=None)
@given(
    price=st.integers(1, 10**7),
    quantity=st.integers(0, 10**9),
    records=st.integers(1, 30),
)
def test_trade_when_encoded_then_decodes_to_the_same(price: int, quantity: int, records: int):
    """What the simulator writes is what the adapter reads."""
    record = _TRADE.split("^")
    record[2], record[12] = str(price), str(quantity)
    ticks = _events(frames.encode_data("H0STCNT0", [record] * records))

    assert [(tick.price, tick.quantity) for tick in ticks] == [(price, quantity)] * records
