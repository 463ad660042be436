"""The fill models against a slow portfolio written from their rules, on generated markets.

The reference shares no code with the engine: it keeps objects, walks sessions one by one, asks the
rule table's own functions for limits and ticks, and compares fractions.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rights_judge import Change, Rights, in_first_shares, in_last_shares

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits, order_ladder
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy

CALENDAR = calendar_for("KRX")
SESSIONS = CALENDAR.sessions(date(2025, 2, 3), date(2025, 3, 14))
LADDER = order_ladder(default_table(), SESSIONS[0], market="KOSDAQ", asset="COMMON")
FEE, TAX = Fraction(140527, 10**9), Fraction(15, 10_000)
CASH = 3_000_000
NEVER = date.max


@dataclass(frozen=True)
class Bar:
    """One daily bar."""

    open: int
    high: int
    low: int
    close: int
    volume: int


@dataclass(frozen=True)
class Split:
    """From a day on `old` shares are `new` ones."""

    symbol: str
    day: date
    old: int
    new: int


@dataclass(frozen=True)
class Dividend:
    """Who holds a share before a day is paid an amount, less 15.4 %."""

    symbol: str
    day: date
    amount: int


@dataclass(frozen=True)
class Delisting:
    """From a day on a symbol does not trade; a share held then is paid a price."""

    symbol: str
    day: date
    price: int


@dataclass(frozen=True)
class Drawn:
    """A market, its splits, each on a day with a bar after another one, and what else comes."""

    bars: dict[str, dict[date, Bar]]
    splits: tuple[Split, ...]
    dividends: tuple[Dividend, ...] = ()
    delistings: tuple[Delisting, ...] = ()
    rights: tuple[Rights, ...] = ()

    @property
    def traded(self) -> dict[str, dict[date, Bar]]:
        """The bars before the delisting of their symbol."""
        ends = {each.symbol: each.day for each in self.delistings}
        return {
            symbol: {day: bar for day, bar in bars.items() if day < ends.get(symbol, NEVER)}
            for symbol, bars in self.bars.items()
        }


@dataclass(frozen=True)
class Case:
    """What the strategy orders and what the run assumes."""

    kinds: tuple[str, str] = ("market", "market")
    force: str = "day"
    percent: int = 40
    fill: str = "next_open"
    volume_percent: int = 0
    slippage_bps: int = 0
    slippage_ticks: int = 0
    impact_bps: int = 0
    impact_shape: str = "root"
    exits_inside: bool = False
    waits_settlement: bool = False
    stop_loss: int = 0
    trailing_stop: int = 0
    take_profit: int = 0
    pyramiding: int = 1
    max_position_size: int = 0
    leave: int = 0
    asks: bool = False

    @property
    def text(self) -> str:
        """The text that the compiler gets."""
        risk = "\n".join(
            f'{name} = "{getattr(self, name)}%"'
            for name in ("stop_loss", "trailing_stop", "take_profit", "max_position_size")
            if getattr(self, name)
        )
        risk += f"\npyramiding = {self.pyramiding}" if self.pyramiding > 1 else ""
        leave = f"{self.leave}%" if self.leave else "all"
        sale = f'sell("{leave}"{_terms(self.kinds[1], "sell", self.force)})'
        # Entries and exits of one bar: who takes part in a rise sells into it.
        takes = f"when (close > close[1] and position.profit > {float(TAKEN)}%) {{ {sale} }}"
        return f"""strategy("Models") {{
          entry.long {{ when (close > close[1]{" and position.entries < 3" * self.asks}) {{
            buy("{self.percent}%"{_terms(self.kinds[0], "buy", self.force)}) }} }}
          exit.long {{ when (close < close[1]) {{ {sale} }} {takes * self.asks} }}
          {"risk_management { " + risk + " }" if risk else ""}
        }}"""

    def assumed(self, drawn: Drawn) -> BacktestSettings:
        """Return the settings of the run."""
        return BacktestSettings(
            cash=CASH,
            fill=self.fill,
            volume_percent=str(self.volume_percent),
            slippage_bps=str(self.slippage_bps),
            slippage_ticks=self.slippage_ticks,
            impact_bps=str(self.impact_bps),
            impact_shape=self.impact_shape,
            splits=tuple(f"{s.symbol}@{s.day}={s.old}:{s.new}" for s in drawn.splits),
            rights=tuple(issue.text for issue in drawn.rights),
            dividends=tuple(f"{d.symbol}@{d.day}={d.amount}" for d in drawn.dividends),
            delistings=tuple(f"{d.symbol}@{d.day}={d.price}" for d in drawn.delistings),
            exits_inside=self.exits_inside,
            waits_settlement=self.waits_settlement,
        )


# In percent; no average price of a test is this far from a close to the last digit.
TAKEN = Fraction("2.3719")
FACTORS = {"buy": {"limit": 0.985, "stop": 1.015}, "sell": {"limit": 1.015, "stop": 0.985}}
BEYOND = {"buy": 1.02, "sell": 0.98}


def _terms(kind: str, side: str, force: str) -> str:
    if kind == "market":
        return ""
    limit, stop = FACTORS[side]["limit"], FACTORS[side]["stop"]
    prices = {
        "limit": f"price: close * {limit}",
        "stop": f"stop: close * {stop}",
        "stop_limit": f"stop: close * {stop}, price: close * {BEYOND[side]}",
    }[kind]
    return f', type: "{kind}", {prices}, tif: "{force}"'


@dataclass
class Order:
    """An order that waits."""

    side: str
    quantity: int
    kind: str
    force: str
    until: date
    limit: int = 0
    stop: int = 0
    reserved: int = 0
    is_triggered: bool = False
    tried: int = 0
    has_bought: bool = False


@dataclass
class Held:
    """What the reference knows of one instrument; `seen` are closes in its first shares."""

    quantity: int = 0
    cost: int = 0
    entries: int = 0
    mark: int = 0
    peak: int = 0
    bought_on: date = NEVER
    is_late: bool = False
    order: Order | None = None
    closes: list[int] = field(default_factory=list)
    seen: list[Fraction] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    base: int = 0
    asked: float = 0.0


class Slow:
    """One run, session by session."""

    def __init__(self, case: Case, drawn: Drawn) -> None:
        market = {symbol: bars for symbol, bars in drawn.traded.items() if bars}
        self.case, self.market = case, market
        self.delistings = {each.symbol: each for each in drawn.delistings}
        self.splits = {(split.symbol, split.day): split for split in drawn.splits}
        self.dividends, self.rights = list(drawn.dividends), list(drawn.rights)
        self.paid = self.sold = 0
        self.cash, self.unsettled = CASH, [(NEVER, 0)]
        self.book = {symbol: Held() for symbol in sorted(market)}
        self.fills: list[tuple[date, str, str, int, int]] = []
        self.equity: list[int] = []
        self.day, self.band = SESSIONS[0], (0, 1 << 60)

    def run(self, days: list[date]) -> None:
        """Walk all sessions."""
        for day in days:
            self.day = day
            self.unsettled = [(due, money) for due, money in self.unsettled if due > day]
            today = {s: self.market[s][day] for s in self.book if day in self.market[s]}
            for step in ("open sell", "open buy", "late buy", "late sell"):
                for symbol in self.book:
                    if step == "open sell":
                        self.end_listing(symbol, day)
                    if symbol in today:
                        self.deal(symbol, today[symbol], *step.split())
            for symbol, bar in today.items():
                self.see_close(self.book[symbol], bar.close)
            for decide in (self.leave, self.enter):
                for symbol in today:
                    decide(symbol)
            self.equity.append(self.worth())
        for symbol in self.book:
            self.end_listing(symbol, CALENDAR.next_session(days[-1]))
        self.equity[-1] = self.worth()

    @staticmethod
    def see_close(held: Held, close: int) -> None:
        """End what was to fill at once; mark to the close."""
        if held.order and held.order.force in {"ioc", "fok"} and held.order.tried:
            held.order = None
        held.closes.append(close)
        whole, shares = in_first_shares(held.changes, close)
        held.seen.append(whole * shares)
        held.asked = whole * (shares.numerator / shares.denominator)
        held.mark = close
        if held.quantity:
            held.peak = max(held.peak, close)

    def end_listing(self, symbol: str, day: date) -> None:
        """Drop the order and close the position of a symbol that is delisted by a day."""
        each, held = self.delistings.get(symbol), self.book[symbol]
        if each is None or each.day > day:
            return
        held.order = None
        if held.quantity:
            self.cash += held.quantity * each.price
            self.fills.append((self.day, symbol, "sell", held.quantity, each.price))
            held.quantity = 0

    def worth(self) -> int:
        """Return cash and positions at their marks."""
        return self.cash + sum(h.quantity * h.mark for h in self.book.values())

    def free(self) -> int:
        """Return the money that can be spent."""
        reserved = sum(h.order.reserved for h in self.book.values() if h.order)
        return self.cash - reserved - sum(money for _, money in self.unsettled)

    def deal(self, symbol: str, bar: Bar, when: str, side: str) -> None:
        """Let what waits fill or end, and the risk block leave inside the bar."""
        self.begin(symbol, is_first=(when, side) == ("open", "sell"))
        held, order = self.book[symbol], self.book[symbol].order
        if order and order.until < self.day:
            held.order = None
            return
        if order is None:
            if when == "late" and side == "sell" and held.quantity and self.case.exits_inside:
                self.leave_inside(symbol, bar)
            return
        if order.side != side or not self.takes(bar, side):
            order.tried += when == "late" and order.side == side
            return
        price, is_late = self.price(order, bar)
        most = self.most(bar, order.quantity)
        if order.force == "fok" and most < order.quantity:
            most = 0
        if price and is_late and price == self.band[side == "buy"]:
            price = 0
        if price and most and is_late == (when == "late"):
            is_passive = order.kind in ("limit", "stop_limit")
            paid = price if is_passive else self.slipped(price, side, most, bar.volume)
            self.fill(symbol, order, min(most, order.quantity), paid, is_late=is_late)
        elif when == "late":
            order.tried += 1
            # Reached is reached, whether or not the volume of the bar had a share to give.
            if not (price and most) and order.kind == "stop_limit" and _reached(order, bar):
                order.is_triggered = True

    def begin(self, symbol: str, *, is_first: bool) -> None:
        """Set the band of the session up; pay and exchange shares before anything else."""
        held, split = self.book[symbol], self.splits.get((symbol, self.day))
        if is_first:
            self.pay(symbol)
            held.base = held.closes[-1] if held.closes else 0
            self.sell_rights(symbol)
        base = held.base
        if split:
            base = -(-base * split.old // split.new)
            if is_first:
                self.exchange(symbol, split)
        self.band = _band(self.day, base) if base else (0, 1 << 60)
        if symbol in self.delistings and self.day >= _liquidation(self.delistings[symbol].day):
            self.band = (0, 1 << 60)

    def pay(self, symbol: str) -> None:
        """Pay the dividends of which the ex-date has come: to who held shares before it."""
        due = [d for d in self.dividends if d.symbol == symbol and d.day <= self.day]
        for dividend in due:
            self.dividends.remove(dividend)
        held = self.book[symbol]
        for dividend in sorted(due, key=lambda d: d.amount):
            if held.quantity and held.closes:
                gross = held.quantity * dividend.amount
                self.cash += gross - gross * 154 // 1000
                self.paid += gross - gross * 154 // 1000
                self.fills.append((self.day, symbol, "buy", 0, 0))

    def sell_rights(self, symbol: str) -> None:
        """Sell the rights of issues of which the ex-date has come, if they are worth something."""
        held = self.book[symbol]
        for issue in [r for r in self.rights if r.symbol == symbol and r.day <= self.day]:
            self.rights.remove(issue)
            found = issue.after(held.base)
            if found is None:
                continue
            held.base = found.base
            held.changes.append(found)
            if held.order and (held.order.side == "buy" or held.order.kind != "market"):
                held.order = None
            if held.quantity:
                self.cash += math.floor(held.quantity * found.worth)
                self.sold += math.floor(held.quantity * found.worth)
                held.cost -= held.cost * (found.close - found.base) // found.close
                held.peak = held.peak * found.base // found.close
                held.mark = found.base
                self.fills.append((self.day, symbol, "buy", 0, 0))

    def takes(self, bar: Bar, side: str) -> bool:
        """Return whether anything fills on a bar: inside the limits, not locked at one."""
        lower, upper = self.band
        is_single = bar.open == bar.high == bar.low == bar.close
        locked = upper if side == "buy" else lower
        return lower <= bar.open <= upper and not (is_single and bar.open == locked)

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

    def slipped(self, price: int, side: str, quantity: int, volume: int) -> int:
        """Return a price after slippage, on the ladder, inside the limits."""
        ppm, share = self.case.slippage_bps * 100, quantity / volume
        if self.case.impact_bps:
            grown = math.sqrt(share) if self.case.impact_shape == "root" else share
            ppm += int(self.case.impact_bps * 100 * grown)
        by = math.ceil(Fraction(price * ppm, 1_000_000))
        by += self.case.slippage_ticks * LADDER.tick(price)
        if not by:
            return price
        if side == "buy":
            return min(LADDER.ceil(price + by), self.band[1])
        return max(LADDER.floor(max(price - by, 0)), self.band[0], 1)

    def fill(self, symbol: str, order: Order, quantity: int, price: int, *, is_late: bool) -> None:
        """Move shares and money."""
        held = self.book[symbol]
        if order.side == "sell":
            gross = quantity * price
            net = gross - int(gross * FEE) - int(gross * TAX)
            self.cash += net
            if self.case.waits_settlement:
                self.unsettled.append((CALENDAR.settlement_day(self.day), net))
            held.cost -= held.cost * quantity // held.quantity
            held.quantity -= quantity
            rest = min(order.quantity - quantity, held.quantity)
        else:
            before, order.reserved = order.reserved, 0
            most, quantity = quantity, _payable(quantity, price, self.free())
            if quantity == 0:
                held.order = None
                return
            self.cash -= quantity * price + int(quantity * price * FEE)
            if not held.quantity:
                held.cost = held.peak = held.entries = 0
            held.bought_on, held.is_late = self.day, is_late
            held.entries += not order.has_bought
            order.has_bought = True
            held.quantity += quantity
            held.cost += quantity * price
            rest = order.quantity - quantity if quantity == most else 0
            order.reserved = -(-before // order.quantity) * rest
        self.fills.append((self.day, symbol, order.side, quantity, price))
        order.quantity = rest
        order.tried += 1
        if not rest or order.force in {"ioc", "fok"}:
            held.order = None

    def exchange(self, symbol: str, split: Split) -> None:
        """Turn shares into new ones; pay a part of one; drop what is no sale at the market."""
        held, order = self.book[symbol], self.book[symbol].order
        held.changes.append(split)
        if order and (order.side == "buy" or order.kind != "market"):
            held.order = None
        if not held.quantity:
            return
        before, close = held.quantity, held.closes[-1]
        held.quantity = before * split.new // split.old
        self.cash += (before * split.new - held.quantity * split.old) * close // split.new
        part = before * split.new - held.quantity * split.old
        held.cost -= held.cost * part // (before * split.new)
        held.peak = held.peak * split.old // split.new
        held.mark = max(close * split.old // split.new, 1)
        side = "buy" if held.quantity >= before else "sell"
        self.fills.append((self.day, symbol, side, abs(held.quantity - before), 0))
        if held.order:
            held.order.quantity = held.order.quantity * split.new // split.old
        if not held.quantity:
            held.order = None

    def levels(self, held: Held) -> tuple[Fraction, Fraction, Fraction | None]:
        """Return stop loss, trailing stop and target as exact prices."""
        entry, case = Fraction(held.cost, held.quantity), self.case
        loss = entry * (100 - case.stop_loss) / 100 if case.stop_loss else Fraction(-1)
        trail = Fraction(-1)
        if case.trailing_stop:
            trail = Fraction(held.peak * (100 - case.trailing_stop), 100)
        target = entry * (100 + case.take_profit) / 100 if case.take_profit else None
        return loss, trail, target

    def leave_inside(self, symbol: str, bar: Bar) -> None:
        """Leave at a level of the risk block, the stop before the target."""
        held = self.book[symbol]
        if not self.takes(bar, "sell"):
            return
        loss, trail, target = self.levels(held)
        level = math.floor(max(loss, trail))
        stop = LADDER.floor(level) if level > 0 else -1
        goal = LADDER.ceil(math.ceil(target)) if target is not None else 1 << 60
        is_late, price, is_target = held.bought_on == self.day and held.is_late, 0, False
        if bar.low <= stop:
            price = min(stop, bar.open)
        elif bar.open >= goal and not is_late:
            price, is_target = bar.open, True
        elif bar.high > goal and not is_late:
            price, is_target = goal, True
        if price <= self.band[0]:
            return
        held.order = Order("sell", held.quantity, "market", "day", NEVER)
        most = self.most(bar, held.quantity)
        if most:
            paid = price if is_target else self.slipped(price, "sell", most, bar.volume)
            self.fill(symbol, held.order, most, paid, is_late=True)

    def leave(self, symbol: str) -> None:
        """Decide an exit on the close."""
        held, close = self.book[symbol], self.book[symbol].mark
        is_told = len(held.seen) > 1 and held.seen[-1] < held.seen[-2]
        rises, is_hit = len(held.seen) > 1 and held.seen[-1] > held.seen[-2], False
        if self.case.asks and held.quantity and rises:
            entry = Fraction(held.cost, held.quantity)
            is_told = (close / entry - 1) * 100 > TAKEN
        if held.quantity:
            loss, trail, target = self.levels(held)
            is_hit = close <= max(loss, trail) or (target is not None and close >= target)
        order = held.order
        if order and order.side == "buy":
            is_over = is_told or is_hit
        else:
            is_over = order is not None and order.kind != "market" and is_hit
        if is_over:
            held.order = None
        if held.quantity and held.order is None and (is_told or is_hit):
            kind = "market" if is_hit else self.case.kinds[1]
            sold = held.quantity
            if self.case.leave and not is_hit:
                sold = min(sold, self.worth() * self.case.leave // 100 // close)
            held.order = self.ordered("sell", sold, kind, held) if sold else None

    def enter(self, symbol: str) -> None:
        """Decide an entry on the close."""
        held = self.book[symbol]
        may_add = held.entries < min(self.case.pyramiding, 3 if self.case.asks else 100)
        if held.order or len(held.closes) < 2 or (held.quantity and not may_add):
            return
        close = held.mark
        if held.seen[-1] <= held.seen[-2]:
            return
        wanted = self.worth() * self.case.percent // 100 // close
        if self.case.max_position_size:
            most = self.worth() * self.case.max_position_size // 100 // close
            wanted = min(wanted, max(most - held.quantity, 0))
        order = self.ordered("buy", wanted, self.case.kinds[0], held)
        top = max(_band(self.day, close)[1], close)
        if self.case.kinds[0] in ("limit", "stop_limit"):
            factor = FACTORS["buy"]["limit"] if self.case.kinds[0] == "limit" else BEYOND["buy"]
            top = math.ceil(_asked(held, factor))
        order.quantity = _payable(wanted, top, self.free())
        if order.quantity:
            gross = order.quantity * top
            order.reserved = gross + int(gross * FEE)
            held.order = order

    def ordered(self, side: str, quantity: int, kind: str, held: Held) -> Order:
        """Return an order with its prices on the ladder."""
        force = "day" if kind == "market" else self.case.force
        until = CALENDAR.next_session(self.day)
        order = Order(side, quantity, kind, force, until)
        if kind == "market" or force != "day":
            order.until = NEVER
        is_buy = side == "buy"
        beyond = BEYOND[side] if kind == "stop_limit" else FACTORS[side]["limit"]
        limit, stop = _asked(held, beyond), _asked(held, FACTORS[side]["stop"])
        order.limit = LADDER.floor(math.floor(limit)) if is_buy else LADDER.ceil(math.ceil(limit))
        order.stop = LADDER.ceil(math.ceil(stop)) if is_buy else LADDER.floor(math.floor(stop))
        return order


def _asked(held: Held, factor: float) -> float:
    """Return a price that the text works out in its first shares, in those of today."""
    return in_last_shares(held.changes, held.asked * factor)


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


def _reached(order: Order, bar: Bar) -> bool:
    return not order.is_triggered and _stop(order, bar)[0] > 0


def _band(day: date, close: int) -> tuple[int, int]:
    limits = daily_limits(default_table(), day, close, market="KOSDAQ", asset="COMMON")
    return limits.lower, limits.upper


def _liquidation(day: date) -> date:
    """Return the first of the seven sessions before a delisting."""
    return [each for each in CALENDAR.sessions(date(2025, 1, 2), day) if each < day][-7]


def _payable(quantity: int, price: int, cash: int) -> int:
    quantity = min(quantity, max(cash, 0) // price)
    while quantity > 0 and quantity * price + int(quantity * price * FEE) > cash:
        quantity -= 1
    return quantity


@st.composite
def markets(draw: st.DrawFn) -> Drawn:
    """Draw up to three instruments; a session in six is missing, prices swing widely."""
    days = SESSIONS[: draw(st.integers(6, len(SESSIONS)))]
    bars: dict[str, dict[date, Bar]] = {}
    splits: list[Split] = []
    dividends: list[Dividend] = []
    rights: list[Rights] = []
    for n in range(1, draw(st.integers(1, 3)) + 1):
        symbol = f"00{n}{n}00"
        bars[symbol] = _history(draw, symbol, days, splits, rights)
        paid = st.tuples(st.sampled_from(days), st.sampled_from((7, 361, 5_000)))
        for day, amount in draw(st.lists(paid, max_size=3)):
            dividends.append(Dividend(symbol, day, amount))
        # Prices do not follow these.
        offered = st.tuples(st.sampled_from(days), st.sampled_from(NEW_SHARES), OFFERS)
        for day, ratio, price in draw(st.lists(offered, max_size=2)):
            rights.append(Rights(symbol, day, ratio, price))
    ended = draw(st.sets(st.sampled_from(sorted(bars)), max_size=2))
    prices = st.sampled_from((0, 1, 40, 20_000))
    # Days without a session of the market are among them, and some after the data.
    later = st.sampled_from(
        (*days, *SESSIONS[len(days) :][:2], date(2025, 2, 9), date(2025, 4, 1))
    )
    delistings = [Delisting(symbol, draw(later), draw(prices)) for symbol in sorted(ended)]
    return Drawn(bars, tuple(splits), tuple(dividends), tuple(delistings), tuple(rights))


# Powers of two below: prices in the first shares are exact in the engine, too.
RATIOS = ((1, 2), (1, 5), (2, 3), (4, 1), (10, 1))
NEW_SHARES = ("0.0001", "0.2", "0.2154388105", "1", "3")
OFFERS = st.sampled_from((1, 500, 4_000, 15_000, 100_000))


def _history(
    draw: st.DrawFn, symbol: str, days: list[date], splits: list[Split], rights: list[Rights]
) -> dict[date, Bar]:
    close = draw(st.sampled_from((960, 4_990, 19_950, 71_000)))
    split_at = draw(st.sampled_from((-1, -1, 3, 8)))
    issue_at = draw(st.sampled_from((-1, 4, 8, 12)))
    bars: dict[date, Bar] = {}
    for at, day in enumerate(days):
        move = draw(st.integers(-7, 7))
        if move == -7:
            continue
        if split_at >= 0 and at >= split_at and bars:
            split_at, (old, new) = -1, draw(st.sampled_from(RATIOS))
            splits.append(Split(symbol, day, old, new))
            close = max(close * old // new, 10)
        if issue_at >= 0 and at >= issue_at and bars:
            issue_at, ratio = -1, draw(st.sampled_from(NEW_SHARES))
            price = max(close * draw(st.integers(40, 110)) // 100, 1)
            rights.append(Rights(symbol, day, ratio, price))
            close = max(int((close + price * Fraction(ratio)) / (1 + Fraction(ratio))), 10)
        start = LADDER.floor(max(close * (100 + draw(st.integers(-4, 4))) // 100, 10))
        end = LADDER.floor(max(close * (100 + move) // 100, 10))
        high = LADDER.ceil(max(start, end) * (100 + draw(st.integers(0, 4))) // 100)
        low = LADDER.floor(min(start, end) * (100 - draw(st.integers(0, 4))) // 100)
        bars[day] = Bar(start, high, low, end, draw(st.integers(1, 3_000)))
        close = end
    return bars


# Few pairs: each is compiled.
PAIRS = (("market", "market"), ("limit", "limit"), ("stop", "market"), ("stop_limit", "stop"))
CASES = st.builds(
    Case,
    kinds=st.sampled_from(PAIRS),
    force=st.sampled_from(("day", "ioc", "fok", "gtc")),
    percent=st.sampled_from((20, 40, 100)),
    fill=st.sampled_from(("next_open", "close", "opening_auction", "closing_auction")),
    volume_percent=st.sampled_from((0, 0, 1, 10)),
    slippage_bps=st.sampled_from((0, 30)),
    slippage_ticks=st.sampled_from((0, 2)),
    impact_bps=st.sampled_from((0, 0, 80)),
    impact_shape=st.sampled_from(("root", "linear")),
    exits_inside=st.booleans(),
    waits_settlement=st.booleans(),
    stop_loss=st.sampled_from((0, 3)),
    trailing_stop=st.sampled_from((0, 4)),
    take_profit=st.sampled_from((0, 5)),
    pyramiding=st.sampled_from((1, 2, 5)),
    max_position_size=st.sampled_from((0, 0, 35)),
    leave=st.sampled_from((0, 15)),
    asks=st.booleans(),
)


def as_frame(market: dict[str, dict[date, Bar]]) -> pl.DataFrame:
    """Return generated bars as the lake would."""
    rows = [
        {
            "symbol": symbol,
            "timestamp": datetime.fromtimestamp(
                CALENDAR.open_close_ns(day)[0] // 10**9 - 9 * 3600, UTC
            ),
            "trade_date": day,
            **{name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")},
        }
        for symbol, bars in market.items()
        for day, bar in bars.items()
    ]
    return pl.DataFrame(rows, schema_overrides={"timestamp": pl.Datetime("ms", "UTC")})


def backtest(case: Case, drawn: Drawn, cache: Path) -> BacktestResult:
    """Run the product."""
    assumed = case.assumed(drawn)
    return run_backtest(
        compile_strategy(case.text), as_frame(drawn.bars), assumed, cache_dir=cache
    )


def flat(price: int, volume: int) -> Bar:
    """Return a bar of one price."""
    return Bar(price, price, price, price, volume)


# The peak knows closes in old shares only until the exchange.
SPLIT_WHILE_THE_ENTRY_FILLS = Drawn(
    {
        "001100": {
            SESSIONS[0]: flat(960, 1),
            SESSIONS[1]: flat(969, 1),
            SESSIONS[2]: flat(978, 10),
            SESSIONS[3]: flat(489, 1),
            SESSIONS[4]: flat(489, 1),
            SESSIONS[5]: flat(489, 10),
        }
    },
    (Split("001100", SESSIONS[3], 1, 2),),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(drawn=markets(), case=CASES)
@example(
    drawn=SPLIT_WHILE_THE_ENTRY_FILLS, case=Case(volume_percent=10, trailing_stop=4, percent=20)
)
def test_models_on_any_market_fill_and_value_like_the_reference(
    drawn: Drawn, case: Case, kernels: Path
) -> None:
    """Every fill, and equity at every session end, agree to the won."""
    days = sorted({day for bars in drawn.bars.values() for day in bars})
    if not any(drawn.traded.values()):
        return
    slow = Slow(case, drawn)
    slow.run(days)

    result = backtest(case, drawn, kernels)

    found = result.fills.select(
        "session", pl.col("instrument").str.strip_prefix("KRX:"), "side", "quantity", "price"
    )
    assert found.rows() == slow.fills
    assert result.equity["equity"].to_list() == slow.equity
    assert result.metrics["dividends"] == slow.paid
    assert result.metrics["rights"] == slow.sold
    assert result.prefix.difference == ""
