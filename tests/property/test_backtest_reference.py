"""The compiled backtest against a slow one written from the rules, on generated markets.

The reference below shares no code with the engine: it keeps dictionaries, walks sessions one by
one, and prices every fill through the rule table's own functions.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.market.costs import CashFlow, Side, cash_flow
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import PriceLimits, daily_limits
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy

CALENDAR = calendar_for("KRX")
# The transaction tax changes for trades from 2024-12-27 on.
SESSIONS = CALENDAR.sessions(date(2024, 12, 13), date(2025, 1, 17))
COMMISSION = Fraction(140527, 10**9)
KELLY_TRADES_MIN = 3
WHOLE = ("max_positions", "pyramiding")

TEMPLATE = """strategy("Generated") {{
  indicators {{
    fast = SMA(period: 2)
    slow = SMA(period: 3)
  }}
  entry.long {{ when (fast > slow) {{ buy(quantity: {entry}, type: "market") }} }}
  exit.long {{ when (fast < slow) {{ sell(quantity: {leave}, type: "market") }} }}
  {risk}
}}
"""


@dataclass(frozen=True)
class Bar:
    """A daily bar; prices are 0 where nothing traded."""

    day: date
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


@dataclass(frozen=True)
class Text:
    """A strategy text in parts that the reference understands without the compiler."""

    entry: tuple[str, Fraction]
    leave: tuple[str, Fraction]
    risk: dict[str, Fraction | int]

    @property
    def source(self) -> str:
        """The text that the compiler gets."""
        lines = [
            f"{name} = {value}" if name in WHOLE else f'{name} = "{_percent(value)}"'
            for name, value in self.risk.items()
        ]
        block = "risk_management { " + "\n".join(lines) + " }" if lines else ""
        return TEMPLATE.format(entry=_written(self.entry), leave=_written(self.leave), risk=block)


def _percent(value: Fraction | int) -> str:
    return f"{float(value) * 100:g}%"


def _written(quantity: tuple[str, Fraction]) -> str:
    kind, amount = quantity
    if kind == "percent":
        return f'"{_percent(amount)}"'
    return {"all": '"all"', "kelly": "calculate_kelly_criterion()"}.get(kind, str(amount))


@dataclass
class Position:
    """What the reference holds of one instrument."""

    quantity: int = 0
    cost: int = 0
    entries: int = 0
    peak: int = 0
    flow: int = 0
    order: tuple[str, int, int] | None = None  # side, quantity, reserved cash
    closes: list[int] = field(default_factory=list)
    previous: int = 0  # close of the last traded bar
    mark: int = 0


class Reference:
    """One run, session by session."""

    def __init__(self, text: Text, cash: int) -> None:
        self.text, self.cash = text, cash
        self.book: dict[str, Position] = {}
        self.profits: list[int] = []
        self.fills: list[tuple[date, str, str, int, int, int, int]] = []
        self.equity: list[int] = []

    def run(self, market: dict[str, dict[date, Bar]], days: list[date]) -> None:
        """Walk all sessions."""
        self.book = {symbol: Position() for symbol in sorted(market)}
        for day in days:
            at_start = self.worth()
            bars = {s: market[s][day] for s in self.book if day in market[s]}
            bands = {s: self.band(s, day) for s in bars}
            for side in ("sell", "buy"):
                for symbol, bar in bars.items():
                    self.fill(symbol, bar, bands[symbol], side)
            traded = {s: bar for s, bar in bars.items() if bar.trades}
            for symbol, bar in traded.items():
                held = self.book[symbol]
                held.mark = held.previous = bar.close
                held.closes.append(bar.close)
                if held.quantity:
                    held.peak = max(held.peak, bar.close)
            equity = self.worth()
            for symbol, bar in traded.items():
                self.leave(symbol, bar.close, equity)
            limit = self.text.risk.get("daily_loss_limit")
            if limit is None or at_start - equity < at_start * limit:
                for symbol in traded:
                    self.enter(symbol, day, equity)
            self.equity.append(equity)

    def worth(self) -> int:
        """Return cash and positions at their marks."""
        return self.cash + sum(p.quantity * p.mark for p in self.book.values())

    def band(self, symbol: str, day: date) -> PriceLimits | None:
        """Return the limits of the day, if the base is known."""
        base = self.book[symbol].previous
        return _limits(day, base) if base else None

    def reserved(self) -> int:
        """Return the cash that waiting purchases hold."""
        return sum(p.order[2] for p in self.book.values() if p.order and p.order[0] == "buy")

    def fill(self, symbol: str, bar: Bar, band: PriceLimits | None, side: str) -> None:
        """Fill what waits, if the bar lets it."""
        held = self.book[symbol]
        if held.order is None or held.order[0] != side or not bar.trades:
            return
        if band is not None:
            is_single = bar.open == bar.high == bar.low == bar.close
            locked = band.upper if side == "buy" else band.lower
            if bar.open not in band or (is_single and bar.open == locked):
                return
        quantity, held.order = held.order[1], None
        if side == "sell":
            self.sell(symbol, bar, min(quantity, held.quantity))
            return
        quantity = _payable(quantity, bar.open, self.cash - self.reserved())
        if quantity:
            self.buy(symbol, bar, quantity)

    def buy(self, symbol: str, bar: Bar, quantity: int) -> None:
        """Open a position, or add to it."""
        held = self.book[symbol]
        if not held.quantity:
            held.cost = held.flow = held.peak = held.entries = 0
        flow = _flow(bar, Side.BUY, quantity)
        self.cash += flow.net
        held.quantity += quantity
        held.cost += quantity * bar.open
        held.flow += flow.net
        held.entries += 1
        held.mark = bar.open
        self.fills.append((bar.day, symbol, "buy", quantity, bar.open, flow.commission, 0))

    def sell(self, symbol: str, bar: Bar, quantity: int) -> None:
        """Close a position, or a part."""
        held = self.book[symbol]
        flow = _flow(bar, Side.SELL, quantity)
        self.cash += flow.net
        held.cost -= held.cost * quantity // held.quantity
        held.quantity -= quantity
        held.flow += flow.net
        paid = (flow.commission, flow.tax.total)
        self.fills.append((bar.day, symbol, "sell", quantity, bar.open, *paid))
        if held.quantity == 0:
            self.profits.append(held.flow)

    def leave(self, symbol: str, close: int, equity: int) -> None:
        """Decide an exit; what still waits to be bought is taken back first."""
        held, risk = self.book[symbol], self.text.risk
        is_falling, is_stopped = _trend(held.closes) < 0, False
        if held.quantity:
            entry = Fraction(held.cost, held.quantity)
            is_stopped = (
                ("stop_loss" in risk and close <= entry * (1 - risk["stop_loss"]))
                or ("trailing_stop" in risk and close <= held.peak * (1 - risk["trailing_stop"]))
                or ("take_profit" in risk and close >= entry * (1 + risk["take_profit"]))
            )
        if not (is_falling or is_stopped):
            return
        if held.order and held.order[0] == "buy":
            held.order = None
        if held.quantity and held.order is None:
            wanted = held.quantity
            kind, amount = self.text.leave
            if kind == "percent" and not is_stopped:
                wanted = min(int(equity * amount / close), held.quantity)
            elif kind == "shares" and not is_stopped:
                wanted = min(int(amount), held.quantity)
            if wanted:
                held.order = ("sell", wanted, 0)

    def enter(self, symbol: str, day: date, equity: int) -> None:
        """Decide an entry."""
        held, risk = self.book[symbol], self.text.risk
        if held.order or _trend(held.closes) <= 0:
            return
        if held.quantity and held.entries >= risk.get("pyramiding", 1):
            return
        taken = sum(bool(p.quantity or p.order) for p in self.book.values())
        if not held.quantity and taken >= risk.get("max_positions", 1000):
            return
        close, free = held.mark, self.cash - self.reserved()
        kind, amount = self.text.entry
        if kind == "kelly":
            amount = self.kelly()
        wanted = int(amount) if kind == "shares" else int(equity * amount / close)
        if "max_position_size" in risk:
            most = int(equity * risk["max_position_size"] / close)
            wanted = min(wanted, max(most - held.quantity, 0))
        top = max(_limits(day, close).upper, close)
        quantity = _payable(wanted, top, free)
        if quantity:
            gross = quantity * top
            held.order = ("buy", quantity, gross + int(gross * COMMISSION))

    def kelly(self) -> Fraction:
        """Return the share of equity by the textbook formula."""
        if len(self.profits) < KELLY_TRADES_MIN:
            return Fraction(1, 100)
        wins = [p for p in self.profits if p > 0]
        losses = [-p for p in self.profits if p <= 0]
        if not wins or sum(wins) <= sum(losses):
            return Fraction(0)
        won = Fraction(len(wins), len(self.profits))
        full = won
        if sum(losses):
            ratio = Fraction(sum(wins), len(wins)) / Fraction(sum(losses), len(losses))
            full = won - (1 - won) / ratio
        # The engine carries shares in millionths, rounded down at each of its three steps.
        edge = Fraction(math.floor((1 - Fraction(sum(losses), sum(wins))) * 10**6), 10**6)
        assert abs(float(won * edge - full)) < 2e-6
        ppm = math.floor(len(wins) * edge * 10**6 / len(self.profits)) // 2
        return min(Fraction(ppm, 10**6), Fraction(1, 5))


def _trend(closes: list[int]) -> int:
    """Return the sign of SMA(2) - SMA(3), or 0 where it is not defined."""
    if len(closes) < 3:
        return 0
    gap = Fraction(sum(closes[-2:]), 2) - Fraction(sum(closes[-3:]), 3)
    return (gap > 0) - (gap < 0)


def _limits(day: date, close: int) -> PriceLimits:
    return daily_limits(default_table(), day, close, market="KOSDAQ", asset="COMMON")


def _flow(bar: Bar, side: Side, quantity: int) -> CashFlow:
    return cash_flow(
        default_table(),
        CALENDAR.settlement_day(bar.day),
        side=side,
        price=bar.open,
        quantity=quantity,
        commission_rate=Decimal("0.000140527"),
        market="KOSDAQ",
        asset="COMMON",
    )


def _payable(quantity: int, price: int, cash: int) -> int:
    quantity = min(quantity, max(cash, 0) // price)
    while quantity > 0 and quantity * price + int(quantity * price * COMMISSION) > cash:
        quantity -= 1
    return quantity


# ---- generated markets ------------------------------------------------------------------------

KINDS = ("move", "move", "move", "move", "halt", "absent", "up", "down", "split", "empty", "jump")


@st.composite
def markets(draw: st.DrawFn) -> dict[str, dict[date, Bar]]:
    """Draw up to four instruments over up to 24 sessions, with everything that KRX knows."""
    days = SESSIONS[: draw(st.integers(8, len(SESSIONS)))]
    symbols = [f"00{n}{n}00" for n in range(1, draw(st.integers(1, 4)) + 1)]
    return {symbol: _history(draw, days) for symbol in symbols}


def _history(draw: st.DrawFn, days: list[date]) -> dict[date, Bar]:
    close = draw(st.sampled_from((900, 4_980, 19_950, 71_000, 402_500)))
    bars: dict[date, Bar] = {}
    for day in days:
        kind = draw(st.sampled_from(KINDS))
        if kind == "absent":
            continue
        volume = draw(st.integers(1, 50_000))
        if kind == "halt":
            bars[day] = Bar(day, 0, 0, 0, close, 0, "halted")
        elif kind == "empty":
            bars[day] = Bar(day, close, close, close, close, 0)
        elif kind in ("up", "down"):
            band = _limits(day, close)
            close = band.upper if kind == "up" else band.lower
            bars[day] = Bar(day, close, close, close, close, volume)
        else:
            bars[day] = _moved(draw, day, close, kind, volume)
            close = bars[day].close
    return bars


def _moved(draw: st.DrawFn, day: date, close: int, kind: str, volume: int) -> Bar:
    if kind == "split":
        close = max(close // 10, 5)
    if kind == "jump":
        close *= 8
    start = max(close * draw(st.integers(930, 1070)) // 1000, 1)
    end = max(close * draw(st.integers(900, 1100)) // 1000, 1)
    return Bar(day, start, max(start, end) + 1, max(min(start, end) - 1, 1), end, volume)


PERCENTS = st.sampled_from((Fraction(1, 20), Fraction(3, 10), Fraction(9, 10), Fraction(1)))
RISKS = st.fixed_dictionaries(
    {},
    optional={
        "max_position_size": st.sampled_from((Fraction(1, 5), Fraction(1, 2))),
        "trailing_stop": st.sampled_from((Fraction(3, 100), Fraction(1, 10))),
        "stop_loss": st.sampled_from((Fraction(1, 50), Fraction(1, 10))),
        "take_profit": st.sampled_from((Fraction(1, 50), Fraction(1, 10))),
        "daily_loss_limit": st.sampled_from((Fraction(1, 100), Fraction(1, 20))),
        "max_positions": st.integers(1, 3),
        "pyramiding": st.integers(1, 4),
    },
)
TEXTS = st.builds(
    Text,
    entry=st.one_of(
        PERCENTS.map(lambda share: ("percent", share)),
        st.integers(1, 3_000).map(lambda count: ("shares", Fraction(count))),
        st.just(("kelly", Fraction(0))),
    ),
    leave=st.one_of(
        st.just(("all", Fraction(0))),
        PERCENTS.map(lambda share: ("percent", share)),
        st.integers(1, 50).map(lambda count: ("shares", Fraction(count))),
    ),
    risk=RISKS,
)


def as_frame(market: dict[str, dict[date, Bar]]) -> pl.DataFrame:
    """Return generated bars as the lake would."""
    rows = [
        {
            "symbol": symbol,
            "timestamp": datetime.fromtimestamp(
                CALENDAR.open_close_ns(bar.day)[0] // 10**9 - 9 * 3600, UTC
            ),
            "trade_date": bar.day,
            "open": bar.open or None,
            "high": bar.high or None,
            "low": bar.low or None,
            "close": bar.close,
            "volume": bar.volume,
            "status": bar.status,
        }
        for symbol, bars in market.items()
        for bar in bars.values()
    ]
    return pl.DataFrame(
        rows,
        schema_overrides={"timestamp": pl.Datetime("ms", "UTC")}
        | dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Int64),
    )


def backtest(frame: pl.DataFrame, text: str, cash: int, cache: Path) -> BacktestResult:
    """Run the product."""
    return run_backtest(
        compile_strategy(text),
        frame,
        BacktestSettings(cash=cash, kelly_trades_min=KELLY_TRADES_MIN),
        cache_dir=cache,
    )


QUIET = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@QUIET
@given(market=markets(), text=TEXTS, cash=st.sampled_from((300_000, 5_000_000, 100_000_000)))
def test_backtest_on_any_market_fills_and_values_like_the_reference(
    market: dict[str, dict[date, Bar]], text: Text, cash: int, kernels: Path
) -> None:
    """Fills, costs, cash and equity agree to the won with a reference that shares no code."""
    if not any(market.values()):
        return
    days = sorted({day for bars in market.values() for day in bars})
    reference = Reference(text, cash)
    reference.run(market, days)

    result = backtest(as_frame(market), text.source, cash, kernels)

    found = result.fills.select(
        "session", pl.col("instrument").str.strip_prefix("KRX:"), "side", "quantity", "price"
    ).with_columns(result.fills["commission"], result.fills["tax"])
    assert reference.fills == found.rows()
    assert reference.equity == result.equity["equity"].to_list()
    assert reference.cash == result.equity["cash"][-1]


@QUIET
@given(market=markets(), text=TEXTS, kept=st.integers(1, 20))
def test_backtest_when_later_bars_are_cut_decides_the_same_before(
    market: dict[str, dict[date, Bar]], text: Text, kept: int, kernels: Path
) -> None:
    """What happened up to a session does not depend on what came after it."""
    days = sorted({day for bars in market.values() for day in bars})
    if not days:
        return
    last = days[min(kept, len(days)) - 1]
    frame = as_frame(market)

    whole = backtest(frame, text.source, 5_000_000, kernels)
    cut = backtest(frame.filter(pl.col("trade_date") <= last), text.source, 5_000_000, kernels)

    assert cut.fills.equals(whole.fills.filter(pl.col("session") <= last))
    assert cut.equity.equals(whole.equity.filter(pl.col("session") <= last))
