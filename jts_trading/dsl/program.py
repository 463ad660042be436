"""A checked strategy: resolved, typed, not yet laid out. What passes hand to each other."""

from dataclasses import dataclass

from jts_trading.dsl.graph import Graph
from jts_trading.dsl.names import Frames
from jts_trading.dsl.plan import ParameterValue, RiskBlock, Rule, SourceRange


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """A rule with the nodes of its condition and of its order prices ("limit", "stop")."""

    rule: Rule
    condition: int
    prices: tuple[tuple[str, int], ...]
    is_edge: bool


@dataclass(frozen=True, slots=True)
class Program:
    """A checked strategy."""

    name: str
    frames: Frames
    graph: Graph
    rules: tuple[CheckedRule, ...]
    risk: RiskBlock
    params: tuple[ParameterValue, ...]
    sources: tuple[SourceRange, ...]

    def roots(self) -> tuple[int, ...]:
        """Return the nodes that rules read."""
        prices = [node for rule in self.rules for _, node in rule.prices]
        return (*(rule.condition for rule in self.rules), *prices)
