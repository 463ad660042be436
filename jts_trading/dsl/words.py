"""Words that the language brings along: `session.*`, the clock of a bar, `position.*`, functions.

A word is turned into nodes of the graph like anything else; `lookup` and `call` return None for
what is no word of the language.
"""

from collections.abc import Callable
from fractions import Fraction

from jts_trading.dsl import graph as g
from jts_trading.dsl import syntax as s
from jts_trading.dsl.calls import ExpressionResolver, output_of, resolve_call
from jts_trading.dsl.errors import nearest
from jts_trading.dsl.facts import FACT_ROOTS, FACTS
from jts_trading.dsl.grammar import (
    AUCTION_COLUMN,
    CLOCK_COLUMNS,
    DOUBT_COLUMN,
    SESSION_COLUMN,
    SESSION_WORDS,
    TIME_COLUMN,
    Word,
)
from jts_trading.dsl.values import Bundle, Kind, Series
from jts_trading.indicators.symbols import derive

_SECONDS_OF_DAY = 86_400


def lookup(
    resolver: ExpressionResolver, parts: tuple[str, ...], frame: int, at: int
) -> Series | None:
    """Return what a dotted name means, if it begins with a word of the language.

    Raises:
        StrategyError: It has no such field, or cannot be asked for here.
    """
    root = parts[0]
    if root == SESSION_COLUMN:
        return _session(resolver, parts, frame, at)
    if root in FACT_ROOTS:
        return _fact(resolver, parts, frame, at)
    if root in CLOCK_COLUMNS and len(parts) == 1:
        return _clock(resolver, root, frame, at)
    if root == Word.QUALITY and len(parts) == 1:
        return Series(_has_quality(resolver, frame, at), Kind.TRUTH)
    return None


def _field(resolver: ExpressionResolver, parts: tuple[str, ...], known: set[str], at: int) -> str:
    name = parts[1] if len(parts) == 2 else ""
    if name not in known:
        written = ".".join(parts)
        raise resolver.refuse(
            f'"{written}" is no word of the language', at, f"{parts[0]}.: {nearest(name, known)}"
        )
    return name


def _session(resolver: ExpressionResolver, parts: tuple[str, ...], frame: int, at: int) -> Series:
    name = _field(resolver, parts, set(SESSION_WORDS), at)
    indicator, output = SESSION_WORDS[name]
    bundle = resolve_call(resolver, s.Call(at, indicator, ()), frame)
    if not isinstance(bundle, Bundle):
        raise TypeError(f"{indicator} has one output")  # the catalogue says otherwise
    return output_of(resolver, bundle, output, at)


def _fact(resolver: ExpressionResolver, parts: tuple[str, ...], frame: int, at: int) -> Series:
    root = parts[0]
    name = _field(resolver, parts, {field for (of, field) in FACTS if of == root}, at)
    if frame != g.BASE_FRAME:
        raise resolver.refuse(
            f'"{root}.{name}" belongs to no time frame', at, "use it outside this block"
        )
    word = FACTS[root, name]
    node = resolver.graph.add(g.Fact(f"{root}.{name}", word.place, word.needs_position))
    return Series(node, word.kind, word.power)


def _clock(resolver: ExpressionResolver, name: str, frame: int, at: int) -> Series:
    seconds = resolver.scope.frames.table[g.BASE_FRAME][1]
    if frame != g.BASE_FRAME:
        raise resolver.refuse(f'"{name}" exists on the finest time frame only', at)
    if seconds is not None and seconds >= _SECONDS_OF_DAY:
        raise resolver.refuse(
            f'"{name}" says nothing about bars of a day', at, "use a shorter time frame"
        )
    node = resolver.graph.add(g.Column(name, frame))
    if name == AUCTION_COLUMN:
        zero = resolver.graph.add(g.Constant(Fraction(0)))
        return Series(resolver.graph.add(g.Compare(">", node, zero, frame)), Kind.TRUTH)
    return Series(node, Kind.TIME if name == TIME_COLUMN else Kind.NUMBER)


def _doubt(resolver: ExpressionResolver, frame: int, at: int) -> int:
    if frame != g.BASE_FRAME:
        raise resolver.refuse(f'"{Word.QUALITY}" exists on the finest time frame only', at)
    return resolver.graph.add(g.Column(DOUBT_COLUMN, frame))


def _has_quality(resolver: ExpressionResolver, frame: int, at: int) -> int:
    zero = resolver.graph.add(g.Constant(Fraction(0)))
    return resolver.graph.add(g.Compare("==", _doubt(resolver, frame, at), zero, frame))


def require_quality(resolver: ExpressionResolver, bars: int, at: int) -> int:
    """Return the truth that none of some bars, this one included, is doubtful."""
    if bars == 1:
        return _has_quality(resolver, g.BASE_FRAME, at)
    highest = resolver.scope.catalog.find("Highest")
    if highest is None:
        raise TypeError("the catalogue lacks Highest")
    doubt = _doubt(resolver, g.BASE_FRAME, at)
    settings = (("period", derive(Fraction, bars)),)
    worst = resolver.graph.add(g.Indicator(highest, settings, (doubt,), g.BASE_FRAME))
    output = resolver.graph.add(g.Output(worst, 0, g.BASE_FRAME))
    zero = resolver.graph.add(g.Constant(Fraction(0)))
    return resolver.graph.add(g.Compare("==", output, zero, g.BASE_FRAME))


def call(resolver: ExpressionResolver, node: s.Call, frame: int) -> Series | None:
    """Return what the call of a function of the language means; None for other calls.

    Raises:
        StrategyError: An argument is missing or of the wrong kind.
    """
    function = _FUNCTIONS.get(node.name.lower())
    return None if function is None else function(resolver, node, frame)


def _since(resolver: ExpressionResolver, node: s.Call, frame: int) -> Series:
    values = [a.value for a in node.arguments]
    if len(values) != 1 or node.arguments[0].name or isinstance(values[0], s.Record):
        raise resolver.refuse(
            "since takes one condition", node.at, "write since(close > open) or since(a crosses b)"
        )
    truth = resolver.truth(values[0], frame)
    require_early(resolver, truth, values[0].at)
    return Series(resolver.graph.add(g.Since(truth, frame)), Kind.NUMBER)


def _rank(resolver: ExpressionResolver, node: s.Call, frame: int) -> Series:
    inner = resolve_call(resolver, s.Call(node.at, "PercentRank", node.arguments), frame)
    if not isinstance(inner, Series):
        raise TypeError("PercentRank has one output")  # the catalogue says otherwise
    hundred = resolver.graph.add(g.Constant(Fraction(100)))
    share = resolver.graph.add(g.Arithmetic("/", inner.node, hundred, frame))
    return Series(share, Kind.PERCENT)


def _change(resolver: ExpressionResolver, node: s.Call, frame: int) -> Series:
    inner = resolve_call(resolver, s.Call(node.at, "MOM", node.arguments), frame)
    if not isinstance(inner, Series):
        raise TypeError("MOM has one output")  # the catalogue says otherwise
    return inner


_FUNCTIONS: dict[str, Callable[[ExpressionResolver, s.Call, int], Series]] = {
    "since": _since,
    Word.RANK: _rank,
    "change": _change,
}


def require_early(resolver: ExpressionResolver, node: int, at: int) -> None:
    """Refuse a series of the account where one of the market is needed.

    Raises:
        StrategyError: The node reads `position` or `portfolio`.
    """
    if resolver.graph.is_late(node):
        raise resolver.refuse(
            "position and portfolio are known at the moment of a decision only: they have no past",
            at,
            "compare them directly: position.profit > 5%",
        )
