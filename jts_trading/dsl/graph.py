"""The plan as a graph: each distinct computation once, in an order in which it can run.

Theory of operation. A node refers to others by their number, and only to smaller ones, so the
list is always in topological order. `Graph.add` returns the number of an equal node if there is
one: sharing of equal sub-expressions is a property of the graph, not a pass that may be forgotten.
A node belongs to the time frame on whose bars it is computed: 0 is the one of `step`, k > 0 a
higher one. A value of a higher frame is held between its bars.

Truth is three-valued and coded 0 (false), 1 (null), 2 (true): `and` is min, `or` is max.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from jts_trading.indicators.definition import Definition
from jts_trading.indicators.symbols import is_symbol

BASE_FRAME = 0
GREATER, SMALLER = "greater", "smaller"
CHOICES = frozenset({GREATER, SMALLER})
"""Signs of an arithmetic node that is one of its two numbers, null where one is null."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number; `power` 1 means an amount of currency that is converted to price units."""

    value: Fraction
    power: int = 0


@dataclass(frozen=True, slots=True)
class TruthConstant:
    """True or false."""

    value: bool


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the bar of a frame."""

    name: str
    frame: int


@dataclass(frozen=True, slots=True)
class Indicator:
    """An indicator; settings in the order of its definition, inputs are nodes.

    `seconds` is the duration that its period was given as, where its definition `passes_time`.
    """

    definition: Definition
    settings: tuple[tuple[str, Fraction], ...]
    inputs: tuple[int, ...]
    frame: int
    seconds: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """One output of an indicator."""

    indicator: int
    index: int
    frame: int


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two numbers and one of + - * /, or which of them is taken: see `CHOICES`."""

    sign: str
    left: int
    right: int
    frame: int


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison, null when a side is null."""

    sign: str
    left: int
    right: int
    frame: int


@dataclass(frozen=True, slots=True)
class Cross:
    """A strict comparison that became true: false on the bar before, true now."""

    comparison: int
    frame: int


@dataclass(frozen=True, slots=True)
class Combine:
    """The least (`every`) or the greatest truth of several."""

    every: bool
    operands: tuple[int, ...]
    frame: int


@dataclass(frozen=True, slots=True)
class Invert:
    """The opposite truth; null stays null."""

    operand: int
    frame: int


@dataclass(frozen=True, slots=True)
class Past:
    """A number some bars of its frame ago."""

    operand: int
    bars: int
    frame: int


@dataclass(frozen=True, slots=True)
class Since:
    """How many bars ago a truth was last true; 0 on such a bar, null before the first."""

    truth: int
    frame: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of the account, known to the driver when it decides: see `facts`."""

    name: str
    place: int
    needs_position: bool
    frame: int = BASE_FRAME


Node = (
    Constant
    | TruthConstant
    | Column
    | Indicator
    | Output
    | Arithmetic
    | Compare
    | Cross
    | Combine
    | Invert
    | Past
    | Since
    | Fact
)


def operands(node: Node) -> tuple[int, ...]:  # noqa: PLR0911 - one return per kind of node
    """Return the nodes that a node reads."""
    match node:
        case Constant() | TruthConstant() | Column() | Fact():
            return ()
        case Indicator(inputs=inputs):
            return inputs
        case Output(indicator=indicator):
            return (indicator,)
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right):
            return (left, right)
        case Cross(comparison=comparison):
            return (comparison,)
        case Combine(operands=several):
            return several
        case Invert(operand=operand) | Past(operand=operand) | Since(truth=operand):
            return (operand,)


def frame_of(node: Node) -> int | None:
    """Return the frame of a node; None for constants, which belong to all."""
    if isinstance(node, Constant | TruthConstant):
        return None
    return node.frame


def indicator_of(graph: "Graph", number: int) -> Indicator:
    """Return the indicator of this number.

    Raises:
        TypeError: The node is something else: the graph was built wrongly.
    """
    node = graph.nodes[number]
    if not isinstance(node, Indicator):
        raise TypeError(f"node {number} is no indicator: {node}")
    return node


def is_truth(node: Node) -> bool:
    """Whether a node yields a truth, not a number."""
    return isinstance(node, TruthConstant | Compare | Cross | Combine | Invert)


def is_symbolic(node: Node) -> bool:
    """Whether a number of a node itself follows from parameters, see `indicators.symbols`."""
    match node:
        case Constant(value=number) | Past(bars=number):
            return is_symbol(number)
        case Indicator(settings=settings):
            return any(is_symbol(number) for _, number in settings)
        case _:
            return False


@dataclass(slots=True)
class Graph:
    """Nodes by number."""

    nodes: list[Node] = field(default_factory=list)
    _numbers: dict[Node, int] = field(default_factory=dict)
    _symbolic: list[int] = field(default_factory=list)
    _late: set[int] = field(default_factory=set)

    def add(self, node: Node) -> int:
        """Return the number of this node, new or known."""
        number = self._known(node)
        if number is None:
            if any(operand >= len(self.nodes) for operand in operands(node)):
                raise ValueError(f"{node} refers to a node that does not exist yet")
            number = len(self.nodes)
            self.nodes.append(node)
            if is_symbolic(node):
                self._symbolic.append(number)
            else:
                self._numbers[node] = number
            if isinstance(node, Fact) or not self._late.isdisjoint(operands(node)):
                self._late.add(number)
        return number

    def _known(self, node: Node) -> int | None:
        """Return the number of an equal node; whether symbols are equal is a decision."""
        if is_symbolic(node):
            others: Iterable[int] = range(len(self.nodes))
        else:
            if node in self._numbers:
                return self._numbers[node]
            others = self._symbolic
        same = (n for n in others if type(self.nodes[n]) is type(node) and self.nodes[n] == node)
        return next(same, None)

    def is_late(self, number: int) -> bool:
        """Whether a node depends on the account, so that no step over bars can compute it."""
        return number in self._late

    def reachable(self, roots: tuple[int, ...]) -> frozenset[int]:
        """Return the nodes that the roots need, themselves included."""
        found = set(roots)
        for number in range(len(self.nodes) - 1, -1, -1):
            if number in found:
                found.update(operands(self.nodes[number]))
        return frozenset(found)
