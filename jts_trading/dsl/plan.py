"""What a compiled strategy is: the contract between language and drivers.

`Plan.source` is plain Python that numba can compile. It defines

    STATE_SIZE                      float64 slots per instrument
    init_state(state, price_scale=1.0)
    step(state, open_, high, low, close, volume, tf_closed[, spread][, session]
         [, minutes_since_open][, time][, auction]) -> int

`step` is called once per traded bar of the base time frame of one instrument. Prices are float64
whole units of the smallest price increment; `price_scale` says how many of them make one unit of
currency (1 for KRW), so that a number in the text is an amount of currency. Bit k of `tf_closed`
says that the pending bar of `timeframes[k]` closed before this bar; the step gathers those bars
itself. Bit i of the result says that `rules[i]` fires.

The arguments in brackets exist only when they are in `needs`. `session` is the trading day to
which the bar belongs, as days since 1970-01-01 (for markets without a break the UTC day):
indicators that start afresh each day compare it with that of the bar before. The three behind it
say when the bar starts, see `strategy.instants`; `spread` is NaN where there are no quotes.

The step knows bars only. What a rule asks of the account is the guard's business, `Plan.guard`:

    guard(fired, values, facts) -> int

A driver calls it when it decides, for a bar on which the mask has a rule that it would follow. It
hands over the mask, a copy of the `Plan.values` numbers that the step left in the state from slot
`Plan.values_slot` on, and the facts of `dsl.facts` (`strategy.facts` fills them) with
`Plan.guard_constants` behind them; what comes back is the mask that counts. Prices of limit and
stop orders are in the values behind it: `Rule.limit` and `Rule.stop` say where, in price units,
not rounded and NaN where unknown. Exits are judged before entries, each instrument with the facts
of its turn. Without guard, nothing but `values` is needed, and that only for rules with prices.
"""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from jts_trading.dsl.errors import NeedsError, Place
from jts_trading.dsl.grammar import ALL_QUANTITY, ActionName, OrderType, Side, TimeInForce

ENGINE_VERSION = "2"


class QuantityKind(StrEnum):
    """How a quantity is given."""

    PERCENT = "percent"  # of the equity of the strategy instance; amount 0.05 is 5%
    ALL = ALL_QUANTITY  # the position of the instance in the instrument
    SHARES = "shares"  # shares, or coins
    MONEY = "money"  # an amount of `currency`
    KELLY = "kelly"  # the Kelly fraction of the closed trades of the instance
    NONE = "none"  # an entry that gives none: the driver's configured size


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity as the text gives it; the driver turns it into lots."""

    kind: QuantityKind
    amount: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """An order that is given when bit `bit` of the mask is set.

    `limit` and `stop` are the places in the values of the prices of a limit or stop order.
    `is_guarded`: the guard has a say. `on_trades`: live it is judged on every trade, see
    `dsl.ticks`, and over bars at their closes. `broker` is "" (the driver's), "fastest", or a
    name. `line` and `column` are the place of the action in the text.
    """

    bit: int
    side: Side
    action: ActionName
    quantity: Quantity
    order_type: OrderType
    time_in_force: TimeInForce = TimeInForce.DAY
    broker: str = ""
    limit: int | None = None
    stop: int | None = None
    is_guarded: bool = False
    on_trades: bool = False
    condition: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class RiskBlock:
    """The strategy's own limits; percentages as fractions, None where the text sets none.

    `pyramiding` is how many entries a position may have: one, where the text says nothing.
    """

    max_position_size: Decimal | None = None
    trailing_stop: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    daily_loss_limit: Decimal | None = None
    max_positions: int | None = None
    cooldown_bars: int | None = None
    cooldown_seconds: int | None = None
    pyramiding: int | None = None


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A time frame above the base one; its place in `Plan.timeframes` is its bit."""

    name: str
    interval: str
    seconds: int


@dataclass(frozen=True, slots=True)
class SourceRange:
    """The symbols `first` to `last` of the universe (both included) come from `name`."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Universe:
    """Which instruments may be entered; an empty tuple accepts all.

    `markets` and `assets` are words of the listing (KOSPI, ETF), `symbols` and `excluded` symbols
    or instrument ids. Conditions of the universe are part of the step; `conditions` is their text.
    """

    markets: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A parameter of the strategy: the value in use, and the range for sweeps.

    Attributes:
        currency: Of money, else empty.
    """

    name: str
    value: Fraction
    measure: str
    low: Fraction | None = None
    high: Fraction | None = None
    step: Fraction | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One line of the explained plan."""

    number: int
    frame: str
    text: str
    slots: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled strategy.

    `base_interval` is the finest time frame used ("1h"), or None when the text declares none: then
    the driver's bars decide. `needs` are the columns that the step reads. `warmup_bars` holds, per
    frame name, how many bars pass until every condition can be defined. `values` and `guard` are
    described above. `rank` is the place in the values by which entries of one instant come, the
    greatest first and null last; None for the order of instrument ids. `currency` is the one that
    amounts of money are in, or "". `digest` identifies normalised text, parameters and engine
    version.
    """

    name: str
    file: str
    base_interval: str | None
    base_name: str
    timeframes: tuple[Timeframe, ...]
    rules: tuple[Rule, ...]
    risk: RiskBlock
    params: tuple[ParameterValue, ...]
    sources: tuple[SourceRange, ...]
    needs: tuple[str, ...]
    warmup_bars: dict[str, int]
    state_size: int
    source: str
    normalised: str
    digest: str
    nodes: tuple[PlanNode, ...]
    values_slot: int = 0
    values: int = 0
    guard: str = ""
    guard_constants: tuple[float, ...] = ()
    currency: str = ""
    universe: Universe = Universe()
    rank: int | None = None

    def require_columns(self, available: Collection[str]) -> None:
        """Refuse bars that lack a column.

        Raises:
            NeedsError: Names the missing columns.
        """
        missing = [name for name in self.needs if name not in available]
        if missing:
            kind = "quotes" if "spread" in missing else "columns"
            raise NeedsError(
                f"{self.name} needs {kind}: {', '.join(missing)}",
                Place(self.file, 1, 1),
                hint=f"these bars have {', '.join(sorted(available))}",
            )
