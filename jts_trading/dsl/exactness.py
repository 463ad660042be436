"""Which numbers are fractions of whole numbers, and over which divisor.

A number of the graph is computed as a numerator; its value is numerator / divisor. Prices are
whole units, a mean is a sum over its period: their numerators are whole numbers, held exactly by
float64 below 2**53. Two such numbers are compared by cross multiplication, so two means of the
same prices tie exactly when they are equal, whatever the order of sums.

Where divisors or factors outgrow `MULTIPLIER_MAX` a number falls back to float64 (divisor 1).
"""

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from jts_trading.dsl import graph as g
from jts_trading.dsl.grammar import QUOTE_COLUMNS
from jts_trading.indicators.definition import Unit
from jts_trading.indicators.symbols import derive

MULTIPLIER_MAX = 2**24
WHOLE_MAX = 2**53


@dataclass(frozen=True, slots=True)
class Exact:
    """How a number is held: `divisor` of its numerator, and whether numerators are whole."""

    divisor: int = 1
    is_whole: bool = False


ROUNDED = Exact()


def find_exact(graph: g.Graph) -> tuple[Exact, ...]:
    """Return how each node of the graph is held."""
    found: list[Exact] = []
    for node in graph.nodes:
        found.append(_of_node(graph, node, found))
    return tuple(found)


def _of_node(graph: g.Graph, node: g.Node, found: list[Exact]) -> Exact:
    match node:
        case g.Constant(value=value, power=power):
            fits = abs(value.numerator) < WHOLE_MAX and value.denominator <= MULTIPLIER_MAX
            return Exact(value.denominator, True) if fits and power in (0, 1) else ROUNDED
        case g.Since() | g.Column():
            is_quote = isinstance(node, g.Column) and node.name in QUOTE_COLUMNS
            return ROUNDED if is_quote else Exact(1, True)
        case g.Output(indicator=number, index=index):
            return _of_output(graph, number, index, found)
        case g.Past(operand=operand):
            return found[operand]
        case g.Arithmetic():
            return _of_arithmetic(graph, node, found)
        case _:
            return ROUNDED


def _of_output(graph: g.Graph, number: int, index: int, found: list[Exact]) -> Exact:
    indicator = g.indicator_of(graph, number)
    definition = indicator.definition
    output = definition.outputs[index]
    if output.divisor is None or not definition.is_linear:
        return ROUNDED
    inner = found[indicator.inputs[0]]
    divisor = output.divisor(dict(indicator.settings))
    if output.unit is Unit.NUMBER:
        # A count of comparisons: it does not grow with the input.
        return Exact(divisor, inner.is_whole and divisor <= MULTIPLIER_MAX)
    divisor *= inner.divisor
    # A sum over its period is divided on use in any case; whole says whether that is exact.
    return Exact(divisor, inner.is_whole and divisor <= MULTIPLIER_MAX)


def _of_arithmetic(graph: g.Graph, node: g.Arithmetic, found: list[Exact]) -> Exact:
    left, right = found[node.left], found[node.right]
    if not (left.is_whole and right.is_whole):
        return ROUNDED
    if node.sign in {"+", "-", *g.CHOICES}:
        divisor = derive(lcm, left.divisor, right.divisor)
        return Exact(divisor, True) if divisor <= MULTIPLIER_MAX else ROUNDED
    scaled = scaling(graph, node)
    if scaled is None:
        return ROUNDED
    factor, series = scaled
    held = found[series]
    divisor = held.divisor * factor.denominator
    return Exact(divisor, True) if divisor <= MULTIPLIER_MAX else ROUNDED


def scaling(graph: g.Graph, node: g.Arithmetic) -> tuple[Fraction, int] | None:
    """Return (factor, series) of a product or quotient with a small constant, or None."""
    left, right = graph.nodes[node.left], graph.nodes[node.right]
    if node.sign == "*" and isinstance(left, g.Constant):
        factor, series = left.value, node.right
    elif node.sign in "*/" and isinstance(right, g.Constant):
        factor = right.value if node.sign == "*" else 1 / right.value
        series = node.left
    else:
        return None
    fits = max(abs(factor.numerator), factor.denominator) <= MULTIPLIER_MAX
    return (factor, series) if fits else None
