"""Bodies of REST to our reports and back: pure, and raises nothing but DecodeError.

Numbers are read as exact decimals. A price may come with a sign that only colours it, so prices
are taken without; quantities and amounts have to be what they say.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.errors import DecodeError
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
from jts_trading.domain.account_reports import (
    BalanceReport,
    BuyableReport,
    HeldPosition,
    OrderAnswer,
    OrderReport,
    OrderState,
)
from jts_trading.domain.instruments import Venue
from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import BookLevel, BookTick, HistoryBar, Quote

BROKER = "kis"
VENUES = {"KRX": Venue.KRX, "NXT": Venue.NXT, "SOR": Venue.KRX, "": Venue.KRX}
_HALTED_STATUS = "58"


def decode_refusal(body: bytes) -> wire.GatewayRefusal | None:
    """Return the refusal of the token endpoint if the body is one."""
    try:
        return decode(body, wire.GatewayRefusal)
    except DecodeError:
        return None


def decode_envelope(body: bytes) -> wire.Envelope:
    """Read what every answer carries.

    Raises:
        DecodeError: The body is no answer of the API.
    """
    return decode(body, wire.Envelope)


def decode_token(body: bytes) -> tuple[str, int, int]:
    """Return access token, expiry (UTC ns) and life (s).

    Raises:
        DecodeError: The body is no token.
    """
    answer = decode(body, wire.TokenAnswer)
    day, _, time = answer.access_token_token_expired.partition(" ")
    expires_ns = instant_ns(
        day_of(day.replace("-", ""), "access_token_token_expired"),
        time.replace(":", ""),
        "access_token_token_expired",
    )
    if not answer.access_token or answer.expires_in <= 0:
        raise DecodeError("token", f"expires_in is {answer.expires_in}; accepted: above 0")
    return answer.access_token, expires_ns, answer.expires_in


def decode_approval(body: bytes) -> str:
    """Return the approval key of the socket.

    Raises:
        DecodeError: The body carries none.
    """
    key = decode(body, wire.ApprovalAnswer).approval_key
    if not key:
        raise DecodeError("token", "approval_key is empty")
    return key


def decode_quote(body: bytes, ts_recv_ns: int, venue: Venue = Venue.KRX) -> Quote:
    """Read `inquire-price`.

    Raises:
        DecodeError: The body is no quote.
    """
    row = decode(body, wire.QuoteBody).output
    halted = row.temp_stop_yn == "Y" or row.iscd_stat_cls_code == _HALTED_STATUS
    return Quote(
        instrument_id=symbol_id(row.stck_shrn_iscd, venue),
        venue=venue,
        broker=BROKER,
        ts_recv_ns=ts_recv_ns,
        last=price(row.stck_prpr, "stck_prpr"),
        open=count(row.stck_oprc, "stck_oprc"),
        high=count(row.stck_hgpr, "stck_hgpr"),
        low=count(row.stck_lwpr, "stck_lwpr"),
        reference=price(row.stck_sdpr, "stck_sdpr"),
        quantity=count(row.acml_vol, "acml_vol"),
        upper=optional_price(row.stck_mxpr, "stck_mxpr"),
        lower=optional_price(row.stck_llam, "stck_llam"),
        tick=optional_price(row.aspr_unit, "aspr_unit"),
        is_halted=halted,
    )


def decode_quotes(body: bytes, ts_recv_ns: int, venue: Venue = Venue.KRX) -> tuple[Quote, ...]:
    """Read `intstock-multprice`, in the order of the answer; symbols that it omits are absent.

    Raises:
        DecodeError: The body is no such answer.
    """
    return tuple(
        Quote(
            instrument_id=symbol_id(row.inter_shrn_iscd, venue),
            venue=venue,
            broker=BROKER,
            ts_recv_ns=ts_recv_ns,
            last=price(row.inter2_prpr, "inter2_prpr"),
            open=count(row.inter2_oprc, "inter2_oprc"),
            high=count(row.inter2_hgpr, "inter2_hgpr"),
            low=count(row.inter2_lwpr, "inter2_lwpr"),
            reference=price(row.inter2_prdy_clpr, "inter2_prdy_clpr"),
            quantity=count(row.acml_vol, "acml_vol"),
            upper=optional_price(row.inter2_mxpr, "inter2_mxpr"),
            lower=optional_price(row.inter2_llam, "inter2_llam"),
            bid=optional_price(row.inter2_bidp, "inter2_bidp"),
            ask=optional_price(row.inter2_askp, "inter2_askp"),
        )
        for row in decode(body, wire.MultiQuoteBody).output
        if row.inter_shrn_iscd.strip()
    )


def decode_book(body: bytes, symbol: str, ts_recv_ns: int) -> BookTick:
    """Read `inquire-asking-price-exp-ccn`.

    Raises:
        DecodeError: The body is no order book.
    """
    answer = decode(body, wire.BookBody)
    rows = answer.output1
    # The venue gives a time of day only; the book is of the day on which it was asked for.
    asked_at = instant_ns(
        local_date(Venue.KRX, ts_recv_ns), rows.get("aspr_acpt_hour", ""), "aspr_acpt_hour"
    )
    expected = _book_expectation(bytes(answer.output2))
    at = optional_price(expected.antc_cnpr, "antc_cnpr")
    return BookTick(
        instrument_id=symbol_id(symbol),
        venue=Venue.KRX,
        broker=BROKER,
        ts_event_ns=asked_at,
        ts_recv_ns=ts_recv_ns,
        asks=_levels(rows, "askp"),
        bids=_levels(rows, "bidp"),
        expected_price=at,
        expected_quantity=count(expected.antc_vol, "antc_vol") if at else None,
    )


def _book_expectation(part: bytes) -> wire.BookExpectation:
    if part.startswith(b"["):
        rows = decode(part, list[wire.BookExpectation])
        return rows[0] if rows else wire.BookExpectation()
    return decode(part, wire.BookExpectation)


def _levels(rows: Mapping[str, str], name: str) -> tuple[BookLevel, ...]:
    levels = []
    for number in range(1, wire.BOOK_LEVELS + 1):
        at = optional_price(rows.get(f"{name}{number}", "0"), f"{name}{number}")
        if at is not None:
            size = f"{name}_rsqn{number}"
            levels.append(BookLevel(at, count(rows.get(size, "0"), size)))
    return tuple(levels)


def decode_minutes(body: bytes, symbol: str, ts_recv_ns: int) -> tuple[HistoryBar, ...]:
    """Read a minute chart, oldest bar first.

    Raises:
        DecodeError: The body is no minute chart.
    """
    bars = [
        HistoryBar(
            instrument_id=symbol_id(symbol),
            venue=Venue.KRX,
            broker=BROKER,
            start_ns=instant_ns(
                day_of(row.stck_bsop_date, "stck_bsop_date"), row.stck_cntg_hour, "stck_cntg_hour"
            ),
            ts_recv_ns=ts_recv_ns,
            open=price(row.stck_oprc, "stck_oprc"),
            high=price(row.stck_hgpr, "stck_hgpr"),
            low=price(row.stck_lwpr, "stck_lwpr"),
            close=price(row.stck_prpr, "stck_prpr"),
            volume=count(row.cntg_vol, "cntg_vol"),
        )
        for row in decode(body, wire.MinuteBody).output2
    ]
    return tuple(sorted(bars, key=lambda bar: bar.start_ns))


def decode_order_answer(body: bytes) -> OrderAnswer:
    """Read the answer to an order, an amendment or a cancel.

    Raises:
        DecodeError: There is no order number in it.
    """
    # The documents spell these keys in upper case, a published example in lower.
    plain = decode(body, dict[str, Any]).get("output")
    fields = (
        {key.lower(): value for key, value in plain.items()} if isinstance(plain, dict) else {}
    )
    try:
        output = msgspec.convert(fields, wire.OrderOutput)
    except msgspec.ValidationError as error:
        raise DecodeError("shape", str(error)) from None
    number = order_number(output.odno)
    return OrderAnswer(
        broker=BROKER, branch=output.krx_fwdg_ord_orgno, order_no=number, ordered_at=output.ord_tmd
    )


def decode_orders(body: bytes) -> tuple[OrderReport, ...]:
    """Read one page of `inquire-daily-ccld`, in its order.

    Raises:
        DecodeError: The body is no such page.
    """
    return tuple(_order_report(row) for row in decode(body, wire.OrdersBody).output1)


def _order_report(row: wire.OrderRow) -> OrderReport:
    day = day_of(row.ord_dt, "ord_dt")
    venue = VENUES.get(row.excg_id_dvsn_Cd.strip(), Venue.KRX)
    original = row.orgn_odno.strip()
    read: dict[str, Callable[[], Decimal]] = {
        "quantity": lambda: count(row.ord_qty, "ord_qty"),
        "filled_quantity": lambda: count(row.tot_ccld_qty, "tot_ccld_qty"),
        "filled_amount": lambda: count(row.tot_ccld_amt, "tot_ccld_amt"),
        "cancelled_quantity": lambda: count(row.cnc_cfrm_qty, "cnc_cfrm_qty"),
        "rejected_quantity": lambda: count(row.rjct_qty, "rjct_qty"),
        "remaining_quantity": lambda: count(row.rmn_qty, "rmn_qty"),
    }
    numbers = {name: get() for name, get in read.items()}
    return OrderReport(
        broker=BROKER,
        order_date=day,
        branch=row.ord_gno_brno,
        order_no=order_number(row.odno),
        original_order_no=order_number(original) if original.strip("0") else None,
        instrument_id=symbol_id(row.pdno, venue),
        venue=venue,
        side=side_of(row.sll_buy_dvsn_cd),
        state=_order_state(row.cncl_yn == "Y", numbers),
        price=optional_price(row.ord_unpr, "ord_unpr"),
        ordered_at_ns=instant_ns(day, row.ord_tmd, "ord_tmd"),
        is_cancel=row.cncl_yn == "Y",
        client_order_id=None,
        fills=(),
        **numbers,
    )


def _order_state(is_cancel: bool, numbers: dict[str, Decimal]) -> OrderState:
    if numbers["rejected_quantity"]:
        return OrderState.REJECTED
    if numbers["filled_quantity"] == numbers["quantity"]:
        return OrderState.FILLED
    if is_cancel or (numbers["cancelled_quantity"] and not numbers["remaining_quantity"]):
        return OrderState.CANCELLED
    return OrderState.OPEN


def decode_balance(pages: tuple[bytes, ...], account: str, ts_recv_ns: int) -> BalanceReport:
    """Read all pages of `inquire-balance`; the totals stand on each, the last counts.

    Raises:
        DecodeError: A page is no balance, or there is none.
    """
    bodies = [decode(page, wire.BalanceBody) for page in pages]
    if not bodies or not bodies[-1].output2:
        raise DecodeError("shape", "a balance has output2 with one row")
    cash = bodies[-1].output2[0]
    held = [_held(row) for body in bodies for row in body.output1]
    return BalanceReport(
        broker=BROKER,
        account=account,
        ts_recv_ns=ts_recv_ns,
        settled_cash=amount(cash.dnca_tot_amt, "dnca_tot_amt"),
        next_day_cash=amount(cash.nxdy_excc_amt, "nxdy_excc_amt"),
        cash=amount(cash.prvs_rcdl_excc_amt, "prvs_rcdl_excc_amt"),
        costs_today=amount(cash.thdt_tlex_amt, "thdt_tlex_amt"),
        positions=tuple(
            sorted((row for row in held if row.quantity), key=lambda row: row.instrument_id)
        ),
    )


def _held(row: wire.PositionRow) -> HeldPosition:
    return HeldPosition(
        instrument_id=symbol_id(row.pdno),
        quantity=count(row.hldg_qty, "hldg_qty"),
        sellable=count(row.ord_psbl_qty, "ord_psbl_qty"),
        cost=count(row.pchs_amt, "pchs_amt"),
        last=count(row.prpr, "prpr"),
    )


def decode_buyable(body: bytes) -> BuyableReport:
    """Read `inquire-psbl-order`.

    Raises:
        DecodeError: The body is no such answer.
    """
    row = decode(body, wire.BuyableBody).output
    return BuyableReport(
        broker=BROKER,
        cash=amount(row.ord_psbl_cash, "ord_psbl_cash"),
        amount=amount(row.nrcvb_buy_amt, "nrcvb_buy_amt"),
        quantity=count(row.nrcvb_buy_qty, "nrcvb_buy_qty"),
        price=count(row.psbl_qty_calc_unpr, "psbl_qty_calc_unpr"),
    )
