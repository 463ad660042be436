"""Bodies of REST as KIS sends them become reports; anything else is a DecodeError."""

import contextlib
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.brokers.kis import codec, wire
from jts_trading.brokers.kis.errors import (
    DecodeError,
    Outcome,
    TokenError,
    VenueBusyError,
    VenueRefusedError,
    classify,
    error_for,
)
from jts_trading.brokers.kis.settings import Environment, KisSettings
from jts_trading.domain.account_reports import OrderState
from jts_trading.domain.errors import UnknownOutcome
from jts_trading.domain.market.costs import Side

RECV_NS = 1_795_000_000_000_000_000
_QUOTE = {
    "stck_shrn_iscd": "005930",
    "stck_prpr": "71000",
    "stck_oprc": "70200",
    "stck_hgpr": "71300",
    "stck_lwpr": "70100",
    "stck_sdpr": "70000",
    "stck_mxpr": "91000",
    "stck_llam": "49000",
    "aspr_unit": "100",
    "acml_vol": "8123456",
    "temp_stop_yn": "N",
    "iscd_stat_cls_code": "55",
    "a_field_of_next_year": "x",
}
_ORDER = {
    "ord_dt": "20261120",
    "ord_gno_brno": "00950",
    "odno": "0000117057",
    "orgn_odno": "",
    "sll_buy_dvsn_cd": "02",
    "pdno": "005930",
    "ord_qty": "10",
    "ord_unpr": "71000",
    "ord_tmd": "093012",
    "tot_ccld_qty": "4",
    "tot_ccld_amt": "284000",
    "cncl_yn": "N",
    "cnc_cfrm_qty": "0",
    "rmn_qty": "6",
    "rjct_qty": "0",
    "excg_id_dvsn_Cd": "KRX",
}


def _body(**parts: object) -> bytes:
    return msgspec.json.encode({"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "ok   ", **parts})


def test_quote_when_documented_then_every_price_is_read():
    """The answer of inquire-price becomes exact won; fields of tomorrow do not hurt."""
    quote = codec.decode_quote(_body(output=_QUOTE), RECV_NS)

    assert quote.instrument_id == "KRX:005930"
    assert (quote.last, quote.reference) == (Decimal(71000), Decimal(70000))
    assert (quote.lower, quote.upper, quote.tick) == (49000, 91000, 100)
    assert not quote.is_halted
    halted = codec.decode_quote(_body(output={**_QUOTE, "iscd_stat_cls_code": "58"}), RECV_NS)
    assert halted.is_halted


@pytest.mark.parametrize("name", ["stck_prpr", "stck_sdpr", "stck_shrn_iscd"])
def test_quote_when_a_field_is_missing_then_shape_is_named(name: str):
    """A field that we read is never guessed."""
    body = _body(output={key: value for key, value in _QUOTE.items() if key != name})

    with pytest.raises(DecodeError) as caught:
        codec.decode_quote(body, RECV_NS)
    assert caught.value.reason == "shape"


def test_quotes_when_a_symbol_is_left_out_then_others_are_read():
    """The multi-quote answers in its own order and may leave symbols out."""
    row = {
        "inter_shrn_iscd": "005930",
        "inter2_prpr": "71000",
        "inter2_oprc": "70200",
        "inter2_hgpr": "71300",
        "inter2_lwpr": "70100",
        "inter2_prdy_clpr": "70000",
        "acml_vol": "8123456",
        "inter2_bidp": "70900",
        "inter2_askp": "0",
    }
    quotes = codec.decode_quotes(_body(output=[row, {**row, "inter_shrn_iscd": " "}]), RECV_NS)

    assert [quote.instrument_id for quote in quotes] == ["KRX:005930"]
    assert (quotes[0].bid, quotes[0].ask) == (Decimal(70900), None)


def test_minutes_when_newest_first_then_bars_ascend_from_their_start():
    """A bar is labelled by the start of its minute in UTC ns."""
    rows = [
        {
            "stck_bsop_date": "20261120",
            "stck_cntg_hour": hour,
            "stck_prpr": "71000",
            "stck_oprc": "70900",
            "stck_hgpr": "71000",
            "stck_lwpr": "70900",
            "cntg_vol": "18234",
        }
        for hour in ("101500", "101400")
    ]
    bars = codec.decode_minutes(_body(output2=rows), "005930", RECV_NS)

    assert [bar.start_ns % 3_600_000_000_000 // 60_000_000_000 for bar in bars] == [14, 15]
    assert bars[0].volume == 18234


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_order_answer_when_either_case_then_number_is_read(case):
    """The venue's documents do not agree on the case of these keys."""
    output = {"KRX_FWDG_ORD_ORGNO": "00950", "ODNO": "117057", "ORD_TMD": "093012"}
    answer = codec.decode_order_answer(_body(output={case(k): v for k, v in output.items()}))

    assert (answer.branch, answer.order_no) == ("00950", "0000117057")


@pytest.mark.parametrize("output", [None, {}, [], {"ODNO": "1"}, {"ODNO": 5}, "x"])
def test_order_answer_when_no_number_then_decode_error(output: object):
    """An answer without a number is unreadable: the caller must call the order unknown."""
    with pytest.raises(DecodeError):
        codec.decode_order_answer(_body(output=output))


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, OrderState.OPEN),
        ({"tot_ccld_qty": "10", "rmn_qty": "0"}, OrderState.FILLED),
        ({"cnc_cfrm_qty": "6", "rmn_qty": "0"}, OrderState.CANCELLED),
        ({"cnc_cfrm_qty": "2", "rmn_qty": "4"}, OrderState.OPEN),
        ({"rjct_qty": "10", "rmn_qty": "0", "tot_ccld_qty": "0"}, OrderState.REJECTED),
    ],
)
def test_orders_when_cumulative_then_state_follows(changes: dict[str, str], state: OrderState):
    """The status rules of the document, row by row."""
    report = codec.decode_orders(_body(output1=[{**_ORDER, **changes}]))[0]

    assert report.state is state
    assert (report.order_date, report.order_no) == (date(2026, 11, 20), "0000117057")
    assert (report.side, report.filled_amount) == (Side.BUY, Decimal(284000))
    assert report.original_order_no is None


def test_balance_when_two_pages_then_positions_join_and_empty_rows_go():
    """The totals are those of the last page; rows without quantity wait for settlement only."""
    row = {"pdno": "005930", "hldg_qty": "14", "ord_psbl_qty": "4", "pchs_amt": "984000"}
    row["prpr"] = "71000"
    cash = {"dnca_tot_amt": "10000000", "nxdy_excc_amt": "10000000"}
    cash |= {"prvs_rcdl_excc_amt": "-39", "thdt_tlex_amt": "39"}
    gone = {**row, "pdno": "000660", "hldg_qty": "0"}
    pages = (_body(output1=[row, gone], output2=[{**cash, "prvs_rcdl_excc_amt": "1"}]),)
    pages += (_body(output1=[{**row, "pdno": "000020"}], output2=[cash]),)

    balance = codec.decode_balance(pages, "1234567801", RECV_NS)

    assert [held.instrument_id for held in balance.positions] == ["KRX:000020", "KRX:005930"]
    assert (balance.settled_cash, balance.cash) == (Decimal(10_000_000), Decimal(-39))


def test_token_when_local_expiry_then_utc():
    """The expiry is Korean time without a zone."""
    body = (
        b'{"access_token":"eyJ0","access_token_token_expired":"2026-11-21 08:55:00",'
        b'"token_type":"Bearer","expires_in":86400}'
    )
    token, expires_ns, life_s = codec.decode_token(body)

    assert (token, life_s) == ("eyJ0", 86400)
    assert expires_ns == 1_795_218_900_000_000_000
    with pytest.raises(DecodeError):
        codec.decode_token(body.replace(b"86400", b"0"))


_DECODERS = [
    codec.decode_envelope,
    codec.decode_token,
    codec.decode_approval,
    lambda body: codec.decode_quote(body, RECV_NS),
    lambda body: codec.decode_quotes(body, RECV_NS),
    lambda body: codec.decode_minutes(body, "005930", RECV_NS),
    codec.decode_order_answer,
    codec.decode_orders,
    lambda body: codec.decode_balance((body,), "1", RECV_NS),
    codec.decode_buyable,
]
_TEXTS = st.sampled_from(
    ["", "0", "-1", "NaN", "1e9", "٣", "20269999", "250000", "x" * 50, "1" * 30]
)
_ROWS = st.dictionaries(
    st.sampled_from(sorted({*_QUOTE, *_ORDER, "inter2_prpr", "pdno", "ODNO", "odno", "prpr"})),
    _TEXTS | st.integers() | st.none(),
)


@settings(deadline=None)
@given(
    body=st.binary(max_size=200)
    | st.fixed_dictionaries({"rt_cd": _TEXTS}).map(msgspec.json.encode)
    | st.dictionaries(
        st.sampled_from(["output", "output1", "output2"]),
        _ROWS | st.lists(_ROWS, max_size=3) | st.none(),
    ).map(msgspec.json.encode)
)
def test_bodies_when_anything_arrives_then_only_decode_error(body: bytes):
    """No body whatever makes a decoder fail in another way."""
    for decoder in _DECODERS:
        with contextlib.suppress(DecodeError):
            decoder(body)


@settings(deadline=None)
@given(name=st.sampled_from(sorted(_ORDER)), text=st.text(max_size=12))
def test_orders_when_one_field_is_spoilt_then_only_decode_error(name: str, text: str):
    """Every field of an order row is read or refused."""
    with contextlib.suppress(DecodeError):
        codec.decode_orders(_body(output1=[{**_ORDER, name: text}]))


def test_body_when_html_then_json_is_the_reason():
    """A gateway page instead of JSON is told as such."""
    with pytest.raises(DecodeError) as caught:
        codec.decode_envelope(b"<html><body>502</body></html>")
    assert caught.value.reason == "json"


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("EGW00201", Outcome.BUSY), ("EGW00123", Outcome.TOKEN), ("APBK0952", Outcome.REFUSED)],
)
def test_codes_when_in_the_table_then_class_is_known(code: str, outcome: Outcome):
    """The table decides, not the text."""
    assert classify(code) == (outcome, True)


def test_errors_when_doubtful_then_an_order_is_unknown_and_a_query_transient():
    """The same code means more for an order."""
    assert isinstance(error_for("EGW00301", "", is_order=True), UnknownOutcome)
    assert isinstance(error_for("EGW00301", "", is_order=False), VenueBusyError)
    assert isinstance(error_for("NEW99999", "", is_order=True), UnknownOutcome)
    assert isinstance(error_for("EGW00123", "", is_order=True), TokenError)
    assert isinstance(error_for("APBK0952", "", is_order=True), VenueRefusedError)


def test_ids_when_paper_then_first_letter_is_replaced():
    """Account calls have ids of their own on the paper host, market calls do not."""
    assert wire.BUY.tr_id_in(Environment.PAPER) == "VTTC0012U"
    assert wire.id_in("CTSC9215R", Environment.PAPER) == "VTSC9215R"
    assert wire.QUOTE.tr_id_in(Environment.PAPER) == "FHKST01010100"
    assert wire.BUY.tr_id_in(Environment.REAL) == "TTTC0012U"


def test_settings_when_no_url_then_the_published_host_of_the_environment():
    """A host is a setting; the published one is only its default."""
    assert KisSettings().rest_root.endswith(":29443")
    assert KisSettings(environment=Environment.REAL).stream_root.endswith(":21000/tryitout")
    assert KisSettings(rest_url="http://127.0.0.1:8801/").rest_root == "http://127.0.0.1:8801"
