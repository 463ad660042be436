"""Walk expressions of the syntax tree."""

from collections.abc import Iterator

from jts_trading.dsl.syntax import (
    Between,
    Call,
    Chain,
    Comparison,
    Crossing,
    Expression,
    History,
    Junction,
    Literal,
    Negation,
    Negative,
    Record,
    Reference,
    Selected,
    Text,
    Truth,
)


def children(  # noqa: PLR0911 - one return per kind of node
    node: Expression | Record,
) -> tuple[Expression | Record, ...]:
    """Return the expressions directly inside one."""
    match node:
        case Literal() | Text() | Truth() | Reference():
            return ()
        case Call(arguments=arguments) | Record(entries=arguments):
            return tuple(argument.value for argument in arguments)
        case Selected(operand=call):
            return (call,)
        case History(operand=operand, bars=bars):
            return (operand, bars)
        case Negative(operand=operand) | Negation(operand=operand):
            return (operand,)
        case Chain(first=first, rest=rest):
            return (first, *(operand for _, _, operand in rest))
        case Comparison(left=left, right=right) | Crossing(left=left, right=right):
            return (left, right)
        case Between(operand=operand, low=low, high=high):
            return (operand, low, high)
        case Junction(operands=operands):
            return operands


def calls(node: Expression | Record) -> set[str]:
    """Return the name of every function that an expression calls."""
    own = {node.name} if isinstance(node, Call) else set()
    return own.union(*(calls(child) for child in children(node)))


def references(node: Expression | Record) -> set[str]:
    """Return the first part of every dotted name inside an expression."""
    return set(_first_parts(node))


def _first_parts(node: Expression | Record) -> Iterator[str]:
    if isinstance(node, Reference):
        yield node.parts[0]
    for child in children(node):
        yield from _first_parts(child)
