"""The simulated REST: checks path, id, sign-in and quotas, then asks the desk."""

import hashlib
from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.limits import MULTI_QUOTE_SYMBOLS_MAX, PAGE_ROWS
from jts_trading.brokers.kis.settings import Environment
from jts_trading.brokers.kis.simulator import answers
from jts_trading.brokers.kis.simulator.desk import Desk
from jts_trading.brokers.kis.simulator.orders_of_day import OrderRow, Refusal, RowKind
from jts_trading.brokers.kis.simulator.own_books import LEDGER_PATH, ledger_reply
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.brokers.kis.simulator.sign_in import SignIn, refusal
from jts_trading.domain.calendars import Calendar
from jts_trading.domain.market.costs import Side
from jts_trading.simulation.faults import FaultKind, FaultPlan, Stage
from jts_trading.simulation.http import Reply, Request

_CURSOR_WIDTH = 100
_QUOTE_OK = ("MCA00000", "정상처리 되었습니다.")
_ACCOUNT_OK = ("KIOK0510", "조회가 완료되었습니다")
_WRONG_MARKET = ("OPSQ2001", "ERROR INVALID FID_COND_MRKT_DIV_CODE")


class Gateway:
    """Answers requests one at a time; never awaits, so that a request is one step.

    Args:
        settings: The host.
        desk: The broker behind it.
        sign_in: Tokens and quotas.
        calendar: Sessions of KRX, for the D+1 deposit.
        now_ns: Time of the market (UTC ns).
        faults: What goes wrong on purpose.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        desk: Desk,
        sign_in: SignIn,
        *,
        calendar: Calendar,
        now_ns: Callable[[], int],
        faults: FaultPlan,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._sign_in = sign_in
        self._calendar = calendar
        self._now_ns = now_ns
        self._faults = faults
        self._answer: dict[wire.Call, Callable[[Request], Reply]] = {
            wire.QUOTE: self._quote,
            wire.MULTI_QUOTE: self._quotes,
            wire.BOOK: self._book,
            wire.MINUTES_TODAY: lambda request: self._minutes(request, is_past=False),
            wire.MINUTES_PAST: lambda request: self._minutes(request, is_past=True),
            wire.BUY: lambda request: self._order(request, Side.BUY),
            wire.SELL: lambda request: self._order(request, Side.SELL),
            wire.CHANGE: self._change,
            wire.OPEN_ORDERS: self._open_orders,
            wire.ORDERS: self._orders,
            wire.BALANCE: self._balance,
            wire.BUYABLE: self._buyable,
        }

    def answer(self, request: Request) -> Reply | None:
        """Answer one request; None lets the client wait for ever."""
        if request.path == LEDGER_PATH:
            return ledger_reply(self._desk)
        return self._answer_venue(request)

    def _answer_venue(self, request: Request) -> Reply | None:
        if request.path.startswith("/oauth2/") or request.path == wire.PATH_HASHKEY:
            return self._sign(request)
        fault = self._faults.next(Stage.REQUEST)
        if fault is not None and fault.kind is FaultKind.TOKEN_EXPIRED:
            self._sign_in.expire()
        if fault is not None and fault.kind is FaultKind.RATE_LIMIT:
            return refusal(500, "EGW00201", "초당 거래건수를 초과하였습니다.")
        call = self._call(request)
        if isinstance(call, Reply):
            return call
        denied = self._sign_in.check(dict(request.headers), is_ledger=call.is_ledger)
        if denied is not None:
            return denied
        if call.method == "GET":
            return self._answered(call, request)
        return self._ordered(call, request)

    def _ordered(self, call: wire.Call, request: Request) -> Reply | None:
        hashkey = request.headers.get("hashkey", "")
        if hashkey and hashkey != _hash(request.body):
            return refusal(500, "EGW00131", "유효하지 않은 hashkey 입니다.")
        fault = self._faults.next(Stage.ORDER)
        kind = fault.kind if fault is not None else None
        if kind is FaultKind.TIMEOUT_BEFORE:
            return None
        reply = self._answered(call, request)
        if kind is FaultKind.HTML_AFTER:
            return Reply(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>")
        return None if kind is FaultKind.TIMEOUT_AFTER else reply

    def _answered(self, call: wire.Call, request: Request) -> Reply:
        try:
            reply = self._answer[call](request)
        except (KeyError, ValueError):
            reply = refusal(200, "OPSQ2002", "ERROR INVALID INPUT_FILED_SIZE")
        headers = {"tr_id": request.headers.get("tr_id", ""), "gt_uid": "", **reply.headers}
        return reply._replace(headers=headers)

    def _sign(self, request: Request) -> Reply:
        try:
            body = msgspec.json.decode(request.body, type=dict[str, str])
        except msgspec.DecodeError:
            return refusal(500, "EGW00101", "유효하지 않은 요청입니다.")
        match request.path:
            case wire.PATH_TOKEN:
                return self._sign_in.token(body)
            case wire.PATH_REVOKE:
                return self._sign_in.revoke(body)
            case wire.PATH_APPROVAL:
                return self._sign_in.approval(body)
            case wire.PATH_HASHKEY:
                answer = {"BODY": body, "HASH": _hash(request.body)}
                return Reply(200, msgspec.json.encode(answer))
            case _:
                return refusal(404, "EGW00202", "GW라우팅 중 오류가 발생했습니다.")

    def _call(self, request: Request) -> wire.Call | Reply:
        tr_id = request.headers.get("tr_id", "")
        environment = self._settings.environment
        for call in wire.CALLS:
            if (call.method, call.path) != (request.method, request.path):
                continue
            known = {call.tr_id_in(environment), wire.id_in(call.old, environment)} - {""}
            if tr_id not in known:
                continue
            if environment is Environment.PAPER and not call.has_paper:
                break
            return call
        if environment is Environment.PAPER and any(
            tr_id in (call.tr_id, call.old) for call in wire.CALLS if tr_id
        ):
            return refusal(500, "EGW00213", "모의투자 tr이 아닙니다.")
        return refusal(200, "OPSQ0002", "없는 서비스 코드 입니다.")

    # Quotations

    def _quote(self, request: Request) -> Reply:
        market = self._desk.markets.get(request.query["FID_INPUT_ISCD"])
        if request.query["FID_COND_MRKT_DIV_CODE"] != "J" or market is None:
            return refusal(200, *_WRONG_MARKET)
        return _success(_QUOTE_OK, output=answers.quote(market))

    def _quotes(self, request: Request) -> Reply:
        asked = [
            request.query.get(f"FID_INPUT_ISCD_{n}", "")
            for n in range(1, MULTI_QUOTE_SYMBOLS_MAX + 1)
        ]
        rows = [
            answers.multi_quote(self._desk.markets[code])
            for code in asked
            if code in self._desk.markets
        ]
        return _success(_QUOTE_OK, output=rows)

    def _book(self, request: Request) -> Reply:
        market = self._desk.markets[request.query["FID_INPUT_ISCD"]]
        output: dict[str, str] = {"aspr_acpt_hour": answers.hhmmss(self._now_ns())}
        for name, side in (("askp", Side.SELL), ("bidp", Side.BUY)):
            depth = [*market.book.depth(side, wire.BOOK_LEVELS), *[(0, 0)] * wire.BOOK_LEVELS]
            for at in range(wire.BOOK_LEVELS):
                output[f"{name}{at + 1}"] = str(depth[at][0])
                output[f"{name}_rsqn{at + 1}"] = str(depth[at][1])
                output[f"{name}_rsqn_icdc{at + 1}"] = "0"
        last = {"stck_prpr": str(market.last), "stck_sdpr": str(market.limits.reference)}
        last |= {"antc_cnpr": "0", "antc_vol": "0", "stck_shrn_iscd": market.listing.symbol}
        return _success(_QUOTE_OK, output1=output, output2=last)

    def _minutes(self, request: Request, *, is_past: bool) -> Reply:
        market = self._desk.markets[request.query["FID_INPUT_ISCD"]]
        rows = answers.minutes(self._desk, request.query, is_past=is_past)
        summary = {"stck_prpr": str(market.last), "hts_kor_isnm": market.listing.name}
        return _success(_QUOTE_OK, output1=summary, output2=rows)

    # Orders

    def _order(self, request: Request, side: Side) -> Reply:
        try:
            body = msgspec.json.decode(request.body, type=wire.CashOrderRequest)
        except msgspec.DecodeError:
            return refusal(200, "OPSQ2002", "ERROR INVALID INPUT_FILED_SIZE")
        row = self._desk.place(body, side, self._now_ns())
        text = "모의투자 매수주문이 완료 되었습니다."
        code = "40600000" if side is Side.BUY else "40590000"
        return self._accepted(row, code, text if side is Side.BUY else text.replace("수", "도", 1))

    def _change(self, request: Request) -> Reply:
        try:
            body = msgspec.json.decode(request.body, type=wire.ChangeRequest)
        except msgspec.DecodeError:
            return refusal(200, "OPSQ2002", "ERROR INVALID INPUT_FILED_SIZE")
        row = self._desk.change(body, self._now_ns())
        return self._accepted(row, "40630000", "모의투자 정정/취소주문이 완료 되었습니다.")

    def _accepted(self, row: OrderRow | Refusal, paper_code: str, paper_text: str) -> Reply:
        if isinstance(row, Refusal):
            return refusal(200, row.code, row.text)
        ok = ("APBK0013", "주문 전송 완료 되었습니다.")
        if self._settings.environment is Environment.PAPER:
            ok = (paper_code, paper_text)
        return _success(ok, output=answers.order_output(row))

    # Account

    def _orders(self, request: Request) -> Reply:
        query = request.query
        self._require_account(query)
        first, last = (_date(query[name]) for name in ("INQR_STRT_DT", "INQR_END_DT"))
        rows = [
            row
            for row in self._desk.rows.values()
            if first <= row.day <= last
            and query.get("PDNO", "") in ("", row.symbol)
            and query.get("ODNO", "").zfill(10) in ("0" * 10, row.number)
            and query.get("SLL_BUY_DVSN_CD", "00") in ("00", answers.order_row(row, "")[_SIDE])
            and _matches(row, query.get("CCLD_DVSN", "00"))
        ]
        if query.get("INQR_DVSN", "00") == "00":
            rows.reverse()
        names = {symbol: m.listing.name for symbol, m in self._desk.markets.items()}
        output = [answers.order_row(row, names[row.symbol]) for row in rows]
        return self._paged(request, "orders", output, answers.order_totals(rows))

    def _open_orders(self, request: Request) -> Reply:
        self._require_account(request.query)
        names = {symbol: m.listing.name for symbol, m in self._desk.markets.items()}
        output = [
            {**answers.order_row(row, names[row.symbol]), "psbl_qty": str(row.remaining)}
            for row in self._desk.rows.values()
            if row.remaining and row.day == self._desk.day and row.kind is not RowKind.CANCEL
        ]
        return _success(_ACCOUNT_OK, output=output, ctx_area_fk100="", ctx_area_nk100="")

    def _balance(self, request: Request) -> Reply:
        self._require_account(request.query)
        next_day = self._calendar.next_session(self._desk.day)
        totals = [answers.cash(self._desk, next_day)]
        return self._paged(request, "balance", answers.positions(self._desk), totals)

    def _buyable(self, request: Request) -> Reply:
        self._require_account(request.query)
        return _success(_ACCOUNT_OK, output=answers.buyable(self._desk, request.query))

    def _require_account(self, query: Any) -> None:
        if query["CANO"] + query["ACNT_PRDT_CD"] != self._desk.account:
            raise ValueError("not our account")

    def _paged(self, request: Request, kind: str, rows: list[Any], output2: Any) -> Reply:
        size = PAGE_ROWS[self._settings.environment][kind]
        cursor = request.query.get("CTX_AREA_NK100", "").strip()
        is_next = request.headers.get("tr_cont", "") == "N"
        start = int(cursor) if is_next and cursor else 0
        has_more = start + size < len(rows)
        mark = ("M" if start else "F") if has_more else ("E" if start else "D")
        reply = _success(
            _ACCOUNT_OK,
            ctx_area_fk100=self._desk.account.ljust(_CURSOR_WIDTH),
            ctx_area_nk100=(str(start + size) if has_more else "").ljust(_CURSOR_WIDTH),
            output1=rows[start : start + size],
            output2=output2,
        )
        return reply._replace(headers={"tr_cont": mark})


_SIDE = "sll_buy_dvsn_cd"


def _matches(row: OrderRow, which: str) -> bool:
    return which == "00" or (row.filled > 0 if which == "01" else row.remaining > 0)


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _success(ok: tuple[str, str], **parts: Any) -> Reply:
    body = {"rt_cd": "0", "msg_cd": ok[0], "msg1": ok[1].ljust(60), **parts}
    return Reply(200, msgspec.json.encode(body))


def _date(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
