"""A slow portfolio that buys and sells short, written from `docs/assumptions.md`.

It judges a backtest over daily bars of KRX and shares no code with the engine: it keeps objects,
walks sessions one by one, asks the rule table's own functions for limits and ticks, and compares
fractions. A position has a way, 1 long and -1 short; its orders are entries or exits. Where the
rules can be read in two ways a comment that begins with "Reading" says which one is taken.
"""

import math
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from rights_judge import Change, Rights, in_first_shares, in_last_shares

from jts_pipelines.backtest.settings import AccountLimits, BacktestSettings
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits, order_ladder
from jts_trading.domain.sessions import calendar_for

CALENDAR = calendar_for("KRX")
# The ban of short sales ended on 2025-03-30.
SESSIONS = CALENDAR.sessions(date(2025, 4, 1), date(2025, 5, 15))
LADDER = order_ladder(default_table(), SESSIONS[0], market="KOSDAQ", asset="COMMON")
FEE, TAX = Fraction(140527, 10**9), Fraction(15, 10_000)
CASH = 3_000_000
KELLY_TRADES_MIN = 3
NEVER = date.max
LONG, SHORT = 1, -1
FREE = (0, 1 << 60)
# In percent; no average price of a test is this far from a close to the last digit.
TAKEN, EXPOSED = Fraction("2.3719"), Fraction("87.3713")
LEFT, WORTH = 411_111, 1_777_777
NEAR = {"buy": {"limit": 0.985, "stop": 1.015}, "sell": {"limit": 1.015, "stop": 0.985}}
BEYOND = {"buy": 1.02, "sell": 0.98}


@dataclass(frozen=True)
class Bar:
    """One daily bar; it is a halted one without prices, or one without volume."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    status: str = "traded"

    @property
    def trades(self) -> bool:
        """Whether something traded in the bar."""
        return self.status == "traded" and self.volume > 0

    @property
    def is_single(self) -> bool:
        """Whether all trades had one price."""
        return self.open == self.high == self.low == self.close


@dataclass(frozen=True)
class Split:
    """From a day on `old` shares are `new` ones."""

    symbol: str
    day: date
    old: int
    new: int


@dataclass(frozen=True)
class Dividend:
    """Who holds a share before a day is paid an amount; who borrowed it owes it."""

    symbol: str
    day: date
    amount: int


@dataclass(frozen=True)
class Delisting:
    """From a day on a symbol does not trade; a price of 0 is none that is known."""

    symbol: str
    day: date
    price: int


@dataclass(frozen=True)
class Drawn:
    """A market, and what happens to its shares."""

    bars: dict[str, dict[date, Bar]]
    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()
    delistings: tuple[Delisting, ...] = ()
    rights: tuple[Rights, ...] = ()

    @property
    def traded(self) -> dict[str, dict[date, Bar]]:
        """The bars with trades before the delisting of their symbol."""
        ends = {each.symbol: each.day for each in self.delistings}
        found = {
            symbol: {
                day: bar
                for day, bar in bars.items()
                if bar.trades and day < ends.get(symbol, NEVER)
            }
            for symbol, bars in self.bars.items()
        }
        return {symbol: bars for symbol, bars in found.items() if bars}


@dataclass(frozen=True)
class Case:
    """What the strategy orders and what the run assumes; `sides` is empty without short sales."""

    kinds: tuple[str, str] = ("market", "market")
    force: str = "day"
    size: str = '"40%"'
    leave: str = '"all"'
    sides: tuple[int, ...] = (LONG, SHORT)
    is_wide: bool = False
    asks: bool = False
    fill: str = "next_open"
    volume_percent: int = 0
    slippage_bps: int = 0
    slippage_ticks: int = 0
    exits_inside: bool = False
    waits_settlement: bool = False
    stop_loss: int = 0
    trailing_stop: int = 0
    take_profit: int = 0
    max_position_size: int = 0
    pyramiding: int = 1
    max_positions: int = 0
    cooldown: int = 0
    limits: tuple[int, int, int, int] | None = None
    margin: int = 100
    maintenance: int = 5
    borrow: int = 4
    sells_short: bool = True

    @property
    def text(self) -> str:
        """The text that the compiler gets."""
        shares = ("stop_loss", "trailing_stop", "take_profit", "max_position_size")
        risk = [f'{n} = "{getattr(self, n)}%"' for n in shares if getattr(self, n)]
        counts = ("pyramiding", "max_positions", "cooldown")
        risk += [f"{n} = {getattr(self, n)}" for n in counts if getattr(self, n)]
        entries = "\n".join(map(self._entry, self.sides))
        exits = "\n".join(map(self._exit, (LONG, SHORT)))
        block = f"risk_management {{ {' '.join(risk)} }}"
        return f'strategy("Both ways") {{\n{entries}\n{exits}\n{block}\n}}'

    def _entry(self, way: int) -> str:
        verb, sign = ("buy", ">") if way == LONG else ("sell", "<")
        when = f"close {'!=' if self.is_wide else sign} close[1]"
        if self.asks:
            when += f" and position.entries < 3 and portfolio.exposure < {float(EXPOSED)}%"
            when += f" and portfolio.cash > {LEFT}"
        size = "calculate_kelly_criterion()" if self.size == "kelly" else self.size
        order = f"{verb}({size}{_terms(self.kinds[0], verb, self.force)})"
        return f"entry.{NAMES[way]} {{ when ({when}) {{ {order} }} }}"

    def _exit(self, way: int) -> str:
        verb, sign = ("sell", "<") if way == LONG else ("buy", ">")
        order = f"{verb}({self.leave}{_terms(self.kinds[1], verb, self.force)})"
        # Who takes part in a move for the position leaves with it.
        large = f"position.value {'>' if way == LONG else '<'} {way * WORTH}"
        takes = f"when (position.profit > {float(TAKEN)}% or {large}) {{ {order} }}" * self.asks
        return f"exit.{NAMES[way]} {{ when (close {sign} close[1]) {{ {order} }} {takes} }}"

    def assumed(self, drawn: Drawn) -> BacktestSettings:
        """Return the settings of the run."""
        return BacktestSettings(
            cash=CASH,
            fill=self.fill,
            volume_percent=str(self.volume_percent),
            slippage_bps=str(self.slippage_bps),
            slippage_ticks=self.slippage_ticks,
            splits=tuple(f"{s.symbol}@{s.day}={s.old}:{s.new}" for s in drawn.splits),
            rights=tuple(issue.text for issue in drawn.rights),
            dividends=tuple(f"{d.symbol}@{d.day}={d.amount}" for d in drawn.dividends),
            delistings=tuple(
                f"{d.symbol}@{d.day}" + f"={d.price}" * bool(d.price) for d in drawn.delistings
            ),
            exits_inside=self.exits_inside,
            waits_settlement=self.waits_settlement,
            limits=self.denied,
            kelly_trades_min=KELLY_TRADES_MIN,
            **self.lending,
        )

    @property
    def denied(self) -> AccountLimits | None:
        """The limits: won of an order, percent of an instrument, of all, of the loss of a day."""
        if self.limits is None:
            return None
        order, share, exposure, loss = self.limits
        return AccountLimits(
            order_value=str(order),
            position_share=str(Decimal(share) / 100),
            gross_exposure=str(Decimal(exposure) / 100),
            daily_loss=str(Decimal(loss) / 100),
            drawdown="1000",
        )

    @property
    def lending(self) -> dict[str, object]:
        """The settings of short sales."""
        if not self.sells_short:
            return {}
        return {
            "short_selling": True,
            "short_margin_percent": str(self.margin),
            "short_maintenance_percent": str(self.maintenance),
            "borrow_percent": str(self.borrow),
        }


NAMES = {LONG: "long", SHORT: "short"}


def _terms(kind: str, side: str, force: str) -> str:
    if kind == "market":
        return ""
    limit, stop = NEAR[side]["limit"], NEAR[side]["stop"]
    prices = {
        "limit": f"price: close * {limit}",
        "stop": f"stop: close * {stop}",
        "stop_limit": f"stop: close * {stop}, price: close * {BEYOND[side]}",
    }[kind]
    return f', type: "{kind}", {prices}, tif: "{force}"'


@dataclass
class Order:
    """An order that waits; `way` is that of the position that it opens or leaves."""

    way: int
    is_entry: bool
    quantity: int
    kind: str
    force: str = "day"
    until: date = NEVER
    reason: str = ""
    limit: int = 0
    stop: int = 0
    reserved: int = 0
    decided_at: int = 0
    is_triggered: bool = False
    is_tried: bool = False
    has_opened: bool = False

    @property
    def side(self) -> str:
        """What the venue calls it."""
        return "buy" if (self.way == LONG) == self.is_entry else "sell"


@dataclass
class Held:
    """What the judge knows of one instrument; `seen` are closes in its first shares.

    `cost` is what a long position was bought for, or a short one sold for.
    """

    way: int = LONG
    quantity: int = 0
    cost: int = 0
    collateral: int = 0
    owed: int = 0
    since: date = NEVER
    entries: int = 0
    flow: int = 0
    best: int = 0
    filled_on: date = NEVER
    is_late: bool = False
    left_at: int = -1000
    order: Order | None = None
    closes: list[int] = field(default_factory=list)
    mark: int = 0
    seen: list[Fraction] = field(default_factory=list)
    asked: float = 0.0
    base: int = 0
    changes: list[Change] = field(default_factory=list)

    @property
    def entry(self) -> Fraction:
        """The average price of the entries."""
        return Fraction(self.cost, self.quantity)

    def price_of(self, factor: float) -> float:
        """Return a price that the text works out in its first shares, in those of today."""
        return in_last_shares(self.changes, self.asked * factor)


# Day, symbol, side, quantity, price, reason where it is of short sales only, fee for the shares.
Row = tuple[date, str, str, int, int, str, int]


class Judge:
    """One run, session by session."""

    def __init__(self, case: Case, drawn: Drawn) -> None:
        self.case, self.market = case, drawn.traded
        self.delistings = {each.symbol: each for each in drawn.delistings}
        self.splits = {(split.symbol, split.day): split for split in drawn.splits}
        self.dividends, self.rights = list(drawn.dividends), list(drawn.rights)
        self.cash, self.paid, self.sold = CASH, 0, 0
        self.unsettled: list[tuple[date, int]] = []
        self.book = {symbol: Held() for symbol in sorted(self.market)}
        self.profits: list[int] = []
        self.fills: list[Row] = []
        self.equity: list[tuple[int, int]] = []
        self.day, self.band = SESSIONS[0], FREE

    # ---- a session

    def run(self, days: list[date]) -> None:
        """Walk all sessions."""
        for day in days:
            self.day = day
            self.unsettled = [(due, money) for due, money in self.unsettled if due > day]
            today = {s: self.market[s][day] for s in self.book if day in self.market[s]}
            for is_late, is_entry in ((False, False), (False, True), (True, True), (True, False)):
                for symbol in self.book:
                    if not (is_late or is_entry):
                        self.end_listing(symbol, day)
                    if symbol in today:
                        self.deal(symbol, today[symbol], is_late=is_late, is_entry=is_entry)
            for symbol, bar in today.items():
                self.see_close(self.book[symbol], bar.close)
            for decide in (self.leave, self.enter):
                for symbol in today:
                    decide(self.book[symbol])
            self.equity.append((self.cash, self.worth()))
        for symbol in self.book:
            self.end_listing(symbol, CALENDAR.next_session(days[-1]))
        self.equity[-1] = (self.cash, self.worth())

    @staticmethod
    def see_close(held: Held, close: int) -> None:
        """End what was to fill at once; mark to the close."""
        if held.order and held.order.force in {"ioc", "fok"} and held.order.is_tried:
            held.order = None
        held.closes.append(close)
        whole, shares = in_first_shares(held.changes, close)
        held.seen.append(whole * shares)
        held.asked = whole * (shares.numerator / shares.denominator)
        held.mark = close
        if held.quantity:
            better = max if held.way == LONG else min
            held.best = better(held.best or close, close)

    def worth(self) -> int:
        """Return cash and positions at their marks."""
        return self.cash + sum(h.way * h.quantity * h.mark for h in self.book.values())

    def move(self, held: Held, money: int) -> None:
        """Let money flow in or out for a trade."""
        self.cash += money
        held.flow += money

    def free(self) -> int:
        """Return the money that no order has reserved and nothing pledges.

        Reading: `portfolio.cash` is this, with the money of sales that has not settled yet.
        """
        reserved = sum(h.order.reserved for h in self.book.values() if h.order)
        bound = sum(h.collateral for h in self.book.values())
        return self.cash - reserved - bound

    # ---- what happens to shares

    def end_listing(self, symbol: str, day: date) -> None:
        """Drop the order and close the position of a symbol that is delisted by a day."""
        each, held = self.delistings.get(symbol), self.book[symbol]
        if each is None or each.day > day:
            return
        held.order = None
        if not held.quantity:
            return
        price = each.price
        if held.way == SHORT:
            self.pay_lender(symbol)
            # Reading: a price of 0 and none at all are one, as the settings say.
            price = price or held.closes[-1]
        self.move(held, held.way * held.quantity * price)
        self.profits.append(held.flow)
        side = "sell" if held.way == LONG else "buy"
        self.note(symbol, side, held.quantity, price)
        held.quantity = held.cost = held.collateral = 0

    def begin(self, symbol: str) -> None:
        """Set the band of the session up."""
        held, split = self.book[symbol], self.splits.get((symbol, self.day))
        price = held.base
        if split:
            price = -(-price * split.old // split.new)
        self.band = band_of(self.day, price) if price else FREE
        if symbol in self.delistings and self.day >= _liquidation(self.delistings[symbol].day):
            self.band = FREE

    def pay(self, symbol: str) -> None:
        """Pay the dividends of which the ex-date has come; a borrower owes them untaxed."""
        due = [d for d in self.dividends if d.symbol == symbol and d.day <= self.day]
        for dividend in due:
            self.dividends.remove(dividend)
        held = self.book[symbol]
        for dividend in sorted(due, key=lambda d: d.amount):
            if held.quantity and held.closes:
                gross = held.quantity * dividend.amount
                net = gross - gross * 154 // 1000 if held.way == LONG else -gross
                self.move(held, net)
                self.paid += net
                # Reading: mirrored, it is a row of the other side.
                self.note(symbol, "buy" if held.way == LONG else "sell", 0, 0)

    def sell_rights(self, symbol: str) -> None:
        """Sell the rights of issues of which the ex-date has come; a borrower owes them."""
        held = self.book[symbol]
        for issue in [r for r in self.rights if r.symbol == symbol and r.day <= self.day]:
            self.rights.remove(issue)
            found = issue.after(held.base)
            if found is None:
                continue
            held.base = found.base
            held.changes.append(found)
            if held.order and (held.order.is_entry or held.order.kind != "market"):
                held.order = None
            if held.quantity:
                paid = math.floor(held.way * held.quantity * found.worth)
                self.move(held, paid)
                self.sold += paid
                held.cost -= held.cost * (found.close - found.base) // found.close
                held.best = held.best * found.base // found.close
                held.mark = found.base
                self.note(symbol, "buy" if held.way == LONG else "sell", 0, 0)

    def exchange(self, symbol: str) -> None:
        """Turn shares into new ones; pay a part of one; drop what is no exit at the market."""
        split = self.splits.get((symbol, self.day))
        if split is None:
            return
        held, order = self.book[symbol], self.book[symbol].order
        held.changes.append(split)
        if order and (order.is_entry or order.kind != "market"):
            held.order = None
        if not held.quantity:
            return
        before, close = held.quantity, held.closes[-1]
        held.quantity = before * split.new // split.old
        part, whole = before * split.new - held.quantity * split.old, before * split.new
        # Reading: the part that is owed is rounded down to a won as the one that is paid.
        self.move(held, held.way * (part * close // split.new))
        if held.way == SHORT:
            self.accrue(held)
            held.collateral -= held.collateral * part // whole
            if not held.quantity:
                self.pay_lender(symbol)
        held.cost -= held.cost * part // whole
        # Reading: rounded down for either way, as a price that is divided by the rule table.
        held.best = held.best * split.old // split.new
        held.mark = max(close * split.old // split.new, 1)
        is_bought = (held.quantity >= before) == (held.way == LONG)
        self.note(symbol, "buy" if is_bought else "sell", abs(held.quantity - before), 0)
        if held.order:
            held.order.quantity = held.order.quantity * split.new // split.old
        if not held.quantity:
            # Reading: nobody left it, so that no `cooldown` begins; the trade is over.
            held.order = None
            self.profits.append(held.flow)

    # ---- fills

    def deal(self, symbol: str, bar: Bar, *, is_late: bool, is_entry: bool) -> None:
        """Let what waits fill or end, and the risk block leave inside the bar."""
        if not (is_late or is_entry):
            self.pay(symbol)
            held = self.book[symbol]
            held.base = held.closes[-1] if held.closes else 0
            self.sell_rights(symbol)
            self.exchange(symbol)
        self.begin(symbol)
        held, order = self.book[symbol], self.book[symbol].order
        if order and order.until < self.day:
            held.order = None
        elif order is None:
            if is_late and not is_entry and held.quantity and self.case.exits_inside:
                self.leave_inside(symbol, bar)
        elif order.is_entry == is_entry:
            self.attempt(symbol, order, bar, is_late=is_late)

    def attempt(self, symbol: str, order: Order, bar: Bar, *, is_late: bool) -> None:
        """Fill an order as far as one half of a bar lets it."""
        order.is_tried |= is_late
        price, after_open = self.price(order, bar)
        most = self.most(bar, order.quantity)
        if order.force == "fok" and most < order.quantity:
            most = 0
        if after_open and price == self.band[order.side == "buy"]:
            price = 0
        if order.way == SHORT and order.is_entry:
            price = self.above_last(self.book[symbol], bar, price, after_open=after_open)
        if not self.takes(bar, order.side):
            price = 0
        if price and most and after_open == is_late:
            if order.kind not in {"limit", "stop_limit"}:
                price = self.slipped(price, order.side)
            self.fill(symbol, order, most, price, is_late=is_late)
        elif is_late and not (price and most) and order.kind == "stop_limit":
            # Reading: reached is reached, whether or not the bar let it fill: the volume had no
            # share to give, a limit was locked, or the price of a short sale had fallen.
            order.is_triggered |= _stop(order, bar)[0] > 0

    @staticmethod
    def above_last(held: Held, bar: Bar, price: int, *, after_open: bool) -> int:
        """Return the price of a short sale, or 0 where it is below the trade before it.

        Reading: an order has one price in a bar; one whose open is too low waits for another bar
        even where its limit is traded later in this one.
        """
        return 0 if price < (bar.open if after_open else held.closes[-1]) else price

    def takes(self, bar: Bar, side: str) -> bool:
        """Return whether anything fills on a bar: inside the limits, not locked at one."""
        lower, upper = self.band
        locked = upper if side == "buy" else lower
        return lower <= bar.open <= upper and not (bar.is_single and bar.open == locked)

    def price(self, order: Order, bar: Bar) -> tuple[int, bool]:
        """Return price and whether after the open; 0 where it does not fill."""
        if order.kind == "market":
            at_close = self.case.fill in ("close", "closing_auction")
            return (bar.close, True) if at_close else (bar.open, False)
        if order.kind == "limit" or order.is_triggered:
            return _limit(order, bar)
        reached, is_late = _stop(order, bar)
        if order.kind == "stop" or not reached:
            return reached, is_late
        if not is_late:
            return _limit(order, bar)
        sign = 1 if order.side == "buy" else -1
        if sign * reached <= sign * order.limit:
            return reached, True
        return (order.limit if sign * bar.close < sign * order.limit else 0), True

    def most(self, bar: Bar, quantity: int) -> int:
        """Return how much one bar fills."""
        share = self.case.volume_percent
        return min(quantity, bar.volume * share // 100) if share else quantity

    def slipped(self, price: int, side: str) -> int:
        """Return a price after slippage, on the ladder, inside the limits."""
        by = math.ceil(Fraction(price * self.case.slippage_bps, 10_000))
        by += self.case.slippage_ticks * LADDER.tick(price)
        if not by:
            return price
        if side == "buy":
            return min(LADDER.ceil(price + by), self.band[1])
        return max(LADDER.floor(max(price - by, 0)), self.band[0], 1)

    def fill(self, symbol: str, order: Order, quantity: int, price: int, *, is_late: bool) -> None:
        """Move shares and money."""
        held = self.book[symbol]
        if order.is_entry:
            before, order.reserved = order.reserved, 0
            most, quantity = quantity, self.payable(order.way, quantity, price)
            if quantity == 0:
                held.order = None
                return
            self.open(held, order, quantity, price)
            held.filled_on, held.is_late = self.day, is_late
            rest = order.quantity - quantity if quantity == most else 0
            order.reserved = -(-before // order.quantity) * rest
        else:
            self.close(symbol, quantity, price)
            rest = min(order.quantity - quantity, held.quantity)
        self.note(symbol, order.side, quantity, price, order.reason)
        order.quantity = rest
        order.is_tried = True
        if not rest or order.force in {"ioc", "fok"}:
            held.order = None

    def open(self, held: Held, order: Order, quantity: int, price: int) -> None:
        """Buy, or sell short."""
        if held.quantity == 0:
            held.way, held.since = order.way, self.day
            held.cost = held.collateral = held.owed = held.best = held.entries = held.flow = 0
        gross = quantity * price
        if order.way == LONG:
            self.move(held, -gross - int(gross * FEE))
        else:
            self.accrue(held)
            # Reading: what a short sale brought waits for no settlement of its own; it is
            # collateral until shares are given back.
            self.move(held, gross - int(gross * FEE) - int(gross * TAX))
            held.collateral += gross + gross * self.case.margin // 100
        held.entries += not order.has_opened
        order.has_opened = True
        held.quantity += quantity
        held.cost += gross

    def close(self, symbol: str, quantity: int, price: int) -> None:
        """Sell, or cover."""
        held, gross = self.book[symbol], quantity * price
        if held.way == LONG:
            net = gross - int(gross * FEE) - int(gross * TAX)
            self.move(held, net)
            if self.case.waits_settlement:
                self.unsettled.append((CALENDAR.settlement_day(self.day), net))
        else:
            self.give_back(symbol, quantity, held.quantity)
            self.move(held, -gross - int(gross * FEE))
        held.cost -= held.cost * quantity // held.quantity
        held.quantity -= quantity
        if not held.quantity:
            held.left_at = len(held.closes) + 1
            self.profits.append(held.flow)

    def give_back(self, symbol: str, part: int, whole: int) -> None:
        """Pay the lender, and free the part of the collateral that belongs to what is covered."""
        held = self.book[symbol]
        self.pay_lender(symbol)
        held.collateral -= held.collateral * part // whole

    def accrue(self, held: Held) -> None:
        """End a stretch of borrowing."""
        yearly = held.cost * self.case.borrow // 100
        held.owed += -(-yearly * (self.day - held.since).days // 365)
        held.since = self.day

    def pay_lender(self, symbol: str) -> None:
        """Pay what is owed for borrowed shares until today, if it is anything."""
        held = self.book[symbol]
        self.accrue(held)
        if held.owed:
            self.move(held, -held.owed)
            self.note(symbol, "buy", 0, 0, "borrowed", held.owed)
            held.owed = 0

    def note(  # noqa: PLR0917 - a row as it is compared
        self, symbol: str, side: str, quantity: int, price: int, reason: str = "", fee: int = 0
    ) -> None:
        """Write a fill down."""
        self.fills.append((self.day, symbol, side, quantity, price, reason, fee))

    def payable(self, way: int, quantity: int, price: int) -> int:
        """Return how many shares the free money buys, or covers the margin and costs of."""
        cash = max(self.free() - sum(money for _, money in self.unsettled), 0)
        if way == SHORT:
            return min(quantity, cash // self.hold(price))
        quantity = min(quantity, cash // price)
        while quantity > 0 and quantity * price + int(quantity * price * FEE) > cash:
            quantity -= 1
        return quantity

    def hold(self, price: int) -> int:
        """Return what one share sold short holds back."""
        margin = math.ceil(price * (Fraction(self.case.margin, 100) + TAX))
        return margin + int(price * FEE) + 1

    # ---- the risk block

    def levels(self, held: Held) -> tuple[Fraction | None, Fraction | None]:
        """Return stop (the nearer one of stop loss and trailing stop) and target."""
        case, way = self.case, held.way
        stops = []
        if case.stop_loss:
            stops.append(held.entry * (100 - way * case.stop_loss) / 100)
        if case.trailing_stop and held.best:
            stops.append(Fraction(held.best * (100 - way * case.trailing_stop), 100))
        nearer = max if way == LONG else min
        target = held.entry * (100 + way * case.take_profit) / 100 if case.take_profit else None
        return nearer(stops, default=None), target

    def is_hit(self, held: Held) -> bool:
        """Return whether the close is at or beyond a level."""
        stop, target = self.levels(held)
        is_stopped = stop is not None and held.way * (held.mark - stop) <= 0
        return is_stopped or (target is not None and held.way * (held.mark - target) >= 0)

    def is_called(self, held: Held) -> bool:
        """Return whether the collateral of a short position has become too small."""
        value = held.quantity * held.mark
        needed = value + Fraction(value * self.case.maintenance, 100)
        return held.way == SHORT and held.quantity > 0 and held.collateral < needed

    def leave_inside(self, symbol: str, bar: Bar) -> None:
        """Leave at a level of the risk block, the stop before the target."""
        held = self.book[symbol]
        side, way = ("sell", LONG) if held.way == LONG else ("buy", SHORT)
        is_late = held.filled_on == self.day and held.is_late
        if not self.takes(bar, side):
            return
        stop, goal = self.rounded(held)
        worst, best = (bar.low, bar.high) if way == LONG else (bar.high, bar.low)
        price, is_target = 0, False
        if stop is not None and way * (worst - stop) <= 0:
            price = min(stop, bar.open) if way == LONG else max(stop, bar.open)
        elif goal is not None and not is_late and way * (bar.open - goal) >= 0:
            price, is_target = bar.open, True
        elif goal is not None and not is_late and way * (best - goal) > 0:
            price, is_target = goal, True
        limit = self.band[side == "buy"]
        most = self.most(bar, held.quantity)
        if not price or way * (price - limit) <= 0:
            return
        held.order = Order(way, is_entry=False, quantity=held.quantity, kind="market")
        if most:
            paid = price if is_target else self.slipped(price, side)
            self.fill(symbol, held.order, most, paid, is_late=True)

    def rounded(self, held: Held) -> tuple[int | None, int | None]:
        """Return stop and target on the ladder, away from the position."""
        stop, target = self.levels(held)
        down, up = _floor, _ceil
        if held.way == SHORT:
            down, up = _ceil, _floor
        return (None if stop is None else down(stop)), (None if target is None else up(target))

    # ---- decisions

    def leave(self, held: Held) -> None:
        """Decide an exit on the close."""
        order = held.order
        way = held.way if held.quantity else order.way if order else LONG
        is_called = self.is_called(held)
        is_hit = is_called or (held.quantity > 0 and self.is_hit(held))
        is_told = self.is_told(held, way)
        if order:
            is_over = is_told or is_hit if order.is_entry else order.kind != "market" and is_hit
            held.order = None if is_over else order
        if not held.quantity or held.order or not (is_told or is_hit):
            return
        sold = held.quantity
        if self.case.leave != '"all"' and not is_hit:
            sold = min(sold, max(self.sized(self.case.leave, held.mark), 0))
        if sold:
            kind = "market" if is_hit else self.case.kinds[1]
            held.order = self.ordered(held, way, sold, kind, is_entry=False)
            held.order.reason = "margin_call" * is_called

    def is_told(self, held: Held, way: int) -> bool:
        """Return whether an exit rule of a way fires."""
        if len(held.seen) < 2:
            return False
        if way * (held.seen[-1] - held.seen[-2]) < 0:
            return True
        if not (self.case.asks and held.quantity):
            return False
        is_large = held.quantity * held.mark > WORTH
        return is_large or way * (held.mark / held.entry - 1) * 100 > TAKEN

    def enter(self, held: Held) -> None:
        """Decide an entry on the close: of the rules that fire and may act the first one."""
        for way in self.case.sides:
            if way == SHORT and not self.case.sells_short:
                continue
            if self.fires(held, way) and self.may_enter(held, way):
                self.begin_entry(held, way)
                return

    def fires(self, held: Held, way: int) -> bool:
        """Return whether an entry rule fires."""
        if len(held.seen) < 2 or (self.case.asks and not self.is_asked(held)):
            return False
        moved = held.seen[-1] - held.seen[-2]
        return moved != 0 if self.case.is_wide else way * moved > 0

    def is_asked(self, held: Held) -> bool:
        """Return whether the account is as an entry asks."""
        exposed = sum(h.quantity * h.mark for h in self.book.values())
        is_free = exposed * 100 < EXPOSED * self.worth() and self.free() > LEFT
        return is_free and (not held.quantity or held.entries < 3)

    def may_enter(self, held: Held, way: int) -> bool:
        """Return whether nothing of the instrument and of the risk block is in the way."""
        if held.order:
            return False
        if held.quantity:
            return held.way == way and held.entries < self.case.pyramiding
        taken = sum(bool(h.quantity or h.order) for h in self.book.values())
        is_rested = len(held.closes) - held.left_at >= self.case.cooldown
        return is_rested and taken < (self.case.max_positions or 1000)

    def begin_entry(self, held: Held, way: int) -> None:
        """Size an entry and hold its money back."""
        close = held.mark
        wanted = self.sized(self.case.size, close)
        if self.case.max_position_size:
            most = self.worth() * self.case.max_position_size // 100 // close
            wanted = min(wanted, max(most - held.quantity, 0))
        kind = self.case.kinds[0]
        order = self.ordered(held, way, wanted, kind, is_entry=True)
        top = max(band_of(self.day, close)[1], close)
        # A limit of a short sale may fill far above its price.
        if way == LONG and kind in {"limit", "stop_limit"}:
            top = math.ceil(held.price_of(_limit_factor(kind, order.side)))
        order.quantity = self.payable(way, wanted, top)
        if order.quantity > 0 and not self.is_denied(held, order.quantity):
            gross = order.quantity * top
            order.reserved = gross + int(gross * FEE)
            if way == SHORT:
                order.reserved = order.quantity * self.hold(top)
            held.order = order
            order.decided_at = close

    def is_denied(self, held: Held, quantity: int) -> bool:
        """Return whether an entry is above a limit of the account, of both ways alike."""
        if self.case.limits is None:
            return False
        order, share, exposure, loss = self.case.limits
        value, worth = quantity * held.mark, self.worth()
        total = value + sum(h.quantity * h.mark for h in self.book.values())
        waiting = [h.order for h in self.book.values() if h.order and h.order.is_entry]
        total += sum(each.quantity * each.decided_at for each in waiting)
        position = value + held.quantity * held.mark
        # Reading: a day that begins with less than nothing has lost more than any share of it.
        before = self.equity[-1][1] if self.equity else CASH
        is_lost = (before - worth) * 100 >= loss * before
        is_large = position * 100 > share * worth or total * 100 > exposure * worth
        return value > order or is_large or is_lost

    def sized(self, size: str, close: int) -> int:
        """Return the shares that a text wants at a close."""
        if size == "kelly":
            return int(self.worth() * self.kelly() / close)
        if size.endswith('%"'):
            return self.worth() * int(size.strip('"%')) // 100 // close
        amount, *currency = size.split()
        return int(amount) // close if currency else int(amount)

    def kelly(self) -> Fraction:
        """Return half the share of the textbook formula, of the trades of both ways."""
        wins = sum(profit for profit in self.profits if profit > 0)
        losses = -sum(profit for profit in self.profits if profit < 0)
        if len(self.profits) < KELLY_TRADES_MIN:
            return Fraction(1, 100)
        if wins <= losses:
            return Fraction(0)
        # Shares are millionths, rounded down at each step.
        edge = 10**6 - -(-losses * 10**6 // wins)
        share = sum(profit > 0 for profit in self.profits) * edge // len(self.profits) // 2
        return min(Fraction(share, 10**6), Fraction(1, 5))

    def ordered(self, held: Held, way: int, quantity: int, kind: str, *, is_entry: bool) -> Order:
        """Return an order with its prices on the ladder."""
        order = Order(way, is_entry=is_entry, quantity=quantity, kind=kind)
        if kind == "market":
            return order
        order.force = self.case.force
        order.until = CALENDAR.next_session(self.day) if order.force == "day" else NEVER
        likely, unlikely = (_ceil, _floor) if order.side == "buy" else (_floor, _ceil)
        order.limit = unlikely(held.price_of(_limit_factor(kind, order.side)))
        order.stop = likely(held.price_of(NEAR[order.side]["stop"]))
        return order


def _limit_factor(kind: str, side: str) -> float:
    return BEYOND[side] if kind == "stop_limit" else NEAR[side]["limit"]


def _floor(price: Fraction | float) -> int:
    return LADDER.floor(max(math.floor(price), 0))


def _ceil(price: Fraction | float) -> int:
    return LADDER.ceil(math.ceil(price))


def _limit(order: Order, bar: Bar) -> tuple[int, bool]:
    sign = 1 if order.side == "buy" else -1
    if sign * bar.open <= sign * order.limit:
        return bar.open, False
    through = bar.low < order.limit if order.side == "buy" else bar.high > order.limit
    return (order.limit, True) if through else (0, False)


def _stop(order: Order, bar: Bar) -> tuple[int, bool]:
    sign = 1 if order.side == "buy" else -1
    if sign * bar.open >= sign * order.stop:
        return bar.open, False
    touched = bar.high >= order.stop if order.side == "buy" else bar.low <= order.stop
    return (order.stop, True) if touched else (0, False)


def band_of(day: date, close: int) -> tuple[int, int]:
    """Return the price limits of a day after a close."""
    limits = daily_limits(default_table(), day, close, market="KOSDAQ", asset="COMMON")
    return limits.lower, limits.upper


def _liquidation(day: date) -> date:
    """Return the first of the seven sessions before a delisting."""
    return [each for each in CALENDAR.sessions(date(2025, 1, 2), day) if each < day][-7]
