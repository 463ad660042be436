"""What a rule may ask of the account: `position.*` and `portfolio.*`.

These are facts of the driver, not of the market: they are known when a decision is made and never
before, so they have no history and no indicator runs over them. A driver hands them to the guard
of a plan as one row of floats, in the order of this table behind the price scale. Prices and money
are in price units of the instrument, so that they compare with its prices; `strategy.facts` fills
the row, for a backtest and live alike.
"""

from dataclasses import dataclass
from types import MappingProxyType

from jts_trading.dsl.values import Kind

POSITION, PORTFOLIO = "position", "portfolio"
SCALE_FACT = 0


@dataclass(frozen=True, slots=True)
class FactWord:
    """One fact: its place in the row, what it is, and whether it is null while flat."""

    place: int
    kind: Kind
    power: int = 0
    needs_position: bool = False


FACTS = MappingProxyType(
    {
        (POSITION, "quantity"): FactWord(1, Kind.NUMBER),
        (POSITION, "value"): FactWord(2, Kind.NUMBER, 1),
        (POSITION, "entry_price"): FactWord(3, Kind.NUMBER, 1, needs_position=True),
        (POSITION, "profit"): FactWord(4, Kind.PERCENT, needs_position=True),
        (POSITION, "highest"): FactWord(5, Kind.NUMBER, 1, needs_position=True),
        (POSITION, "bars"): FactWord(6, Kind.NUMBER, needs_position=True),
        (POSITION, "age"): FactWord(7, Kind.DURATION, needs_position=True),
        (PORTFOLIO, "equity"): FactWord(8, Kind.NUMBER, 1),
        (PORTFOLIO, "cash"): FactWord(9, Kind.NUMBER, 1),
        (PORTFOLIO, "positions"): FactWord(10, Kind.NUMBER),
        (PORTFOLIO, "exposure"): FactWord(11, Kind.PERCENT),
        (PORTFOLIO, "day_profit"): FactWord(12, Kind.PERCENT),
        (POSITION, "entries"): FactWord(13, Kind.NUMBER),
    }
)
# Behind them the smallest quantity, for whoever fills the row; then the constants of the guard.
STEP_FACT = 1 + len(FACTS)
FACTS_SIZE = STEP_FACT + 1
FACT_ROOTS = (POSITION, PORTFOLIO)
