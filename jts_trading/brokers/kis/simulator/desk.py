"""The broker behind the simulated protocol: takes orders, matches, keeps the books. Pure.

Theory of operation. Requests arrive as the wire spells them and are answered with a row or a
refusal. Whatever happens to an order appends a notice to `notices`, which the socket drains. A
purchase holds cash at its limit, an unpriced one at the upper limit of the day; a sale holds
shares. Day orders lapse when the tape enters the next day.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date

from jts_trading.brokers.kis.settings import Environment
from jts_trading.brokers.kis.simulator.orders_of_day import (
    STYLES,
    NoticeStep,
    OrderRow,
    OrderStyle,
    PushedNotice,
    Refusal,
    RowKind,
)
from jts_trading.brokers.kis.wire import CashOrderRequest, ChangeRequest
from jts_trading.domain.market.admission import Admission
from jts_trading.domain.market.costs import Side
from jts_trading.domain.market.phases import Phase
from jts_trading.domain.market.table import RuleTable
from jts_trading.domain.sessions import local_date, phases_at
from jts_trading.simulation.account_ledger import AccountLedger
from jts_trading.simulation.krx_market import KrxMarket, Listing, Print
from jts_trading.simulation.matching import Execution
from jts_trading.simulation.tape import TapeBar

_OPEN_PHASES = {Phase.OPENING_AUCTION, Phase.CONTINUOUS, Phase.CLOSING_AUCTION}
_MINUTE_NS = 60_000_000_000
MINUTES_MAX = 100_000
_TICK_TEXT = "주식주문호가단위 오류입니다."
_ADMISSION_TEXTS = {
    Admission.TICK: _TICK_TEXT,
    Admission.LIMIT: "상/하한가 범위를 벗어난 주문입니다.",
    Admission.LOT: "주문 수량을 확인해주세요.",
}


class Desk:
    """One account on the markets of one simulated host.

    Args:
        environment: Decides codes and the order types that are taken.
        account: CANO and ACNT_PRDT_CD together.
        ledger: The account's books.
        table: The dated rules.
        listings: What trades, by symbol.
        references: Base price of the first day by symbol.
        now_ns: Start (UTC ns); its KST date is the first day.
        level_quantity: See `KrxMarket`.
        checks_session: Whether orders outside the hours are refused.
    """

    def __init__(
        self,
        *,
        environment: Environment,
        account: str,
        ledger: AccountLedger,
        table: RuleTable,
        listings: Sequence[Listing],
        references: Mapping[str, int],
        now_ns: int,
        level_quantity: int = 10_000,
        checks_session: bool = True,
    ) -> None:
        self.account = account
        self.ledger = ledger
        self.day = local_date("KRX", now_ns)
        self.notices: deque[PushedNotice] = deque()
        # Called after each new notice, so that whoever pushes them need not look for them.
        self.on_notice: Callable[[], None] = lambda: None
        self.rows: dict[tuple[date, str], OrderRow] = {}
        self.minutes: dict[str, list[TapeBar]] = {listing.symbol: [] for listing in listings}
        self.markets = {
            listing.symbol: KrxMarket(
                listing,
                table,
                self.day,
                references[listing.symbol],
                level_quantity=level_quantity,
            )
            for listing in listings
        }
        self._is_paper = environment is Environment.PAPER
        self._checks_session = checks_session
        self._by_book_id: dict[str, OrderRow] = {}
        self._last_number = 0

    # Requests

    def place(self, request: CashOrderRequest, side: Side, now_ns: int) -> OrderRow | Refusal:
        """Take a cash order."""
        market = self.markets.get(request.pdno)
        style = STYLES.get(request.ord_dvsn)
        quantity, price = _whole(request.ord_qty), _whole(request.ord_unpr)
        refusal = self._refusal(request.cano + request.acnt_prdt_cd, market, style, now_ns)
        if refusal is not None or market is None or style is None:
            return refusal or self._refuse("종목정보가 없습니다.")
        if quantity is None or price is None or not quantity:
            return self._refuse("주문 수량을 확인해주세요.")
        limit = self._limit(market, side, style, price)
        verdict = market.admission(side, quantity, limit)
        if verdict is not Admission.ACCEPT:
            return self._refuse(_ADMISSION_TEXTS.get(verdict, str(verdict)), "40030000")
        hold = limit if limit is not None else market.limits.upper
        if (refusal := self._means_refusal(market, side, quantity, hold)) is not None:
            return refusal
        row = self._new_row(
            RowKind.NEW, market, side, quantity, now_ns, division=request.ord_dvsn, price=limit
        )
        self._notify(row, NoticeStep.RECEIVED, row.quantity, row.price, now_ns)
        self._bring_to_market(row, market, style, limit, now_ns)
        return row

    def change(self, request: ChangeRequest, now_ns: int) -> OrderRow | Refusal:
        """Amend or cancel all or part of what remains of an order."""
        original = self.rows.get((self.day, request.orgn_odno.strip().zfill(10)))
        if request.cano + request.acnt_prdt_cd != self.account:
            return Refusal("OPSQ2000", "ERROR : INPUT INVALID_CHECK_ACNO")
        if original is None or original.kind is RowKind.CANCEL:
            return self._refuse("원주문번호가 없습니다.")
        asked = _whole(request.ord_qty)
        quantity = original.remaining if request.qty_all_ord_yn == "Y" else asked
        if not quantity or quantity > original.remaining:
            return self._refuse("정정취소 가능수량이 없습니다.")
        match request.rvse_cncl_dvsn_cd:
            case "01":
                return self._amend(original, request, quantity, now_ns)
            case "02":
                return self._cancel(original, quantity, now_ns)
            case _:
                return Refusal("OPSQ2002", "ERROR INVALID INPUT_FILED_SIZE")

    def play(self, trade: Print) -> None:
        """Play one trade of the tape; a new day begins with its first."""
        day = local_date("KRX", trade.ts_ns)
        if day != self.day:
            self.open_day(day)
        market = self.markets[trade.symbol]
        self._add_to_minute(trade)
        for execution in market.print_trade(trade):
            self._fill(execution.maker_id, execution, trade.ts_ns)

    def open_day(self, day: date, references: Mapping[str, int] | None = None) -> None:
        """Begin a day: what still rests lapses, numbers begin anew.

        Args:
            day: The trade date.
            references: Base prices by symbol; the last price where one is missing.
        """
        for symbol, market in self.markets.items():
            reference = (references or {}).get(symbol, market.last)
            for book_id in market.open_day(day, reference):
                row = self._by_book_id[book_id]
                row.cancelled += row.remaining
                self.ledger.reserve(book_id, 0)
            # A chart is asked for a year back at most, and a simulator runs for months.
            del self.minutes[symbol][:-MINUTES_MAX]
        self.day = day
        self._last_number = 0

    # Views

    def is_open(self, now_ns: int) -> bool:
        """Return whether orders are taken."""
        return not self._checks_session or bool(_OPEN_PHASES & set(phases_at("KRX", now_ns)))

    def sellable(self, symbol: str) -> int:
        """Return shares that are held and not offered."""
        offered = sum(
            row.remaining
            for row in self.rows.values()
            if row.symbol == symbol and row.side is Side.SELL and row.day == self.day
        )
        return self.ledger.quantity(symbol) - offered

    # Inside

    def _refusal(
        self, account: str, market: KrxMarket | None, style: OrderStyle | None, now_ns: int
    ) -> Refusal | None:
        if account != self.account:
            return Refusal("OPSQ2000", "ERROR : INPUT INVALID_CHECK_ACNO")
        if market is None:
            return Refusal("APBK0656", "해당종목정보가 없습니다.")
        if style is None or (style.is_real_only and self._is_paper):
            return self._refuse("주문구분을 확인해주세요.")
        if not self.is_open(now_ns):
            text = "장운영시간이 아닙니다."
            return (
                Refusal("40580000", f"모의투자 {text}") if self._is_paper else self._refuse(text)
            )
        return None

    def _refuse(self, text: str, paper_code: str = "") -> Refusal:
        return Refusal(paper_code if self._is_paper and paper_code else "APBK0918", text)

    def _means_refusal(
        self, market: KrxMarket, side: Side, quantity: int, price: int, released: int = 0
    ) -> Refusal | None:
        if side is Side.SELL:
            if quantity <= self.sellable(market.listing.symbol) + released:
                return None
            return self._refuse("매도가능수량이 부족합니다.")
        needed = self.ledger.cash_needed(self.day, market.listing, price, quantity)
        if needed <= self.ledger.buyable + released:
            return None
        code = "40250000" if self._is_paper else "APBK0952"
        return Refusal(code, "주문가능금액을 초과 했습니다")

    def _limit(self, market: KrxMarket, side: Side, style: OrderStyle, price: int) -> int | None:
        if style.pegs_to_own_side is None:
            return price if style.has_price else None
        other = Side.SELL if side is Side.BUY else Side.BUY
        best = market.book.best(side if style.pegs_to_own_side else other)
        return best if best is not None else market.last

    def _new_row(
        self,
        kind: RowKind,
        market: KrxMarket,
        side: Side,
        quantity: int,
        now_ns: int,
        *,
        division: str,
        price: int | None,
        original: str = "",
    ) -> OrderRow:
        self._last_number += 1
        row = OrderRow(
            number=f"{self._last_number:010d}",
            original=original,
            day=self.day,
            ordered_ns=now_ns,
            symbol=market.listing.symbol,
            side=side,
            division=division,
            kind=kind,
            quantity=quantity,
            price=price or 0,
            hold_price=price or market.limits.upper,
        )
        self.rows[self.day, row.number] = row
        self._by_book_id[row.book_id] = row
        return row

    def _bring_to_market(
        self, row: OrderRow, market: KrxMarket, style: OrderStyle, limit: int | None, now_ns: int
    ) -> None:
        phases = set(phases_at("KRX", now_ns))
        in_auction = bool(phases & _OPEN_PHASES) and Phase.CONTINUOUS not in phases
        placed = market.place(
            row.book_id,
            row.side,
            row.quantity,
            limit,
            stays=style.stays,
            all_or_none=style.all_or_none,
            in_auction=in_auction,
        )
        for execution in placed.executions:
            self._fill(row.book_id, execution, now_ns)
            self._fill(execution.maker_id, execution, now_ns)
        if placed.lapsed:
            row.cancelled += placed.lapsed
            self._notify(row, NoticeStep.LAPSED, placed.lapsed, row.price, now_ns)
        self._hold(row, market)

    def _fill(self, book_id: str, execution: Execution, now_ns: int) -> None:
        row = self._by_book_id.get(book_id)
        if row is None:
            return
        market = self.markets[row.symbol]
        row.filled += execution.quantity
        row.amount += execution.quantity * execution.price
        self.ledger.book_fill(
            self.day,
            row.number,
            market.listing,
            row.side,
            price=execution.price,
            quantity=execution.quantity,
        )
        self._hold(row, market)
        self._notify(row, NoticeStep.FILL, execution.quantity, execution.price, now_ns)

    def _hold(self, row: OrderRow, market: KrxMarket) -> None:
        if row.side is not Side.BUY:
            return
        left = row.remaining
        needed = (
            self.ledger.cash_needed(self.day, market.listing, row.hold_price, left) if left else 0
        )
        self.ledger.reserve(row.book_id, needed)

    def _amend(
        self, original: OrderRow, request: ChangeRequest, quantity: int, now_ns: int
    ) -> OrderRow | Refusal:
        market, side = self.markets[original.symbol], original.side
        style = STYLES.get(request.ord_dvsn)
        price = _whole(request.ord_unpr)
        if price is None or style is None:
            return self._refuse("주문구분을 확인해주세요.")
        limit = self._limit(market, side, style, price)
        verdict = market.admission(side, quantity, limit)
        if verdict is not Admission.ACCEPT:
            return self._refuse(_ADMISSION_TEXTS.get(verdict, str(verdict)), "40030000")
        hold = limit if limit is not None else market.limits.upper
        released = quantity
        if side is Side.BUY:
            released = self.ledger.cash_needed(
                self.day, market.listing, original.hold_price, quantity
            )
        if (refusal := self._means_refusal(market, side, quantity, hold, released)) is not None:
            return refusal
        self._withdraw(original, quantity)
        row = self._new_row(
            RowKind.AMEND,
            market,
            side,
            quantity,
            now_ns,
            division=request.ord_dvsn,
            price=limit,
            original=original.number,
        )
        self._notify(row, NoticeStep.CONFIRMED, quantity, row.price, now_ns)
        self._bring_to_market(row, market, style, limit, now_ns)
        return row

    def _cancel(self, original: OrderRow, quantity: int, now_ns: int) -> OrderRow:
        self._withdraw(original, quantity)
        row = self._new_row(
            RowKind.CANCEL,
            self.markets[original.symbol],
            original.side,
            quantity,
            now_ns,
            division=original.division,
            price=original.price,
            original=original.number,
        )
        row.cancelled = quantity
        self._notify(row, NoticeStep.CONFIRMED, quantity, original.price, now_ns)
        return row

    def _withdraw(self, row: OrderRow, quantity: int) -> None:
        market = self.markets[row.symbol]
        market.book.reduce(row.book_id, quantity)
        row.cancelled += quantity
        self._hold(row, market)

    def _notify(
        self, row: OrderRow, step: NoticeStep, quantity: int, price: int, now_ns: int
    ) -> None:
        self.notices.append(PushedNotice(row, step, quantity, price, now_ns))
        self.on_notice()

    def _add_to_minute(self, trade: Print) -> None:
        bars = self.minutes[trade.symbol]
        start_ns = trade.ts_ns - trade.ts_ns % _MINUTE_NS
        if not bars or bars[-1].start_ns != start_ns:
            at = (trade.price,) * 4
            bars.append(TapeBar(trade.symbol, start_ns, *at, trade.quantity))
            return
        bar = bars[-1]
        bars[-1] = TapeBar(
            trade.symbol,
            start_ns,
            bar.open,
            max(bar.high, trade.price),
            min(bar.low, trade.price),
            trade.price,
            bar.volume + trade.quantity,
        )


def _whole(text: str) -> int | None:
    stripped = text.strip()
    return (
        int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 19 else None
    )
