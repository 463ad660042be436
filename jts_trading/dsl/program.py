"""A checked strategy: resolved, typed, not yet laid out. What passes hand to each other."""

from dataclasses import dataclass, field

from jts_trading.dsl.graph import Graph
from jts_trading.dsl.names import Frames
from jts_trading.dsl.plan import ParameterValue, RiskBlock, Rule, SourceRange, Universe


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """A rule with the nodes of its condition and of its order prices ("limit", "stop").

    `condition` is what the step judges on bars; `guard` is the rest, which needs the account, or
    None.
    """

    rule: Rule
    condition: int
    prices: tuple[tuple[str, int], ...]
    is_edge: bool
    guard: int | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A checked strategy; `currency` is the one that its amounts are in, or empty.

    `rank` is the node by which entries of one instant are ordered.
    """

    name: str
    frames: Frames
    graph: Graph
    rules: tuple[CheckedRule, ...]
    risk: RiskBlock
    params: tuple[ParameterValue, ...]
    sources: tuple[SourceRange, ...]
    currency: str = ""
    universe: Universe = field(default_factory=Universe)
    rank: int | None = None

    def roots(self) -> tuple[int, ...]:
        """Return the nodes that rules read."""
        prices = [node for rule in self.rules for _, node in rule.prices]
        guards = [rule.guard for rule in self.rules if rule.guard is not None]
        ranks = [] if self.rank is None else [self.rank]
        return (*(rule.condition for rule in self.rules), *guards, *prices, *ranks)
