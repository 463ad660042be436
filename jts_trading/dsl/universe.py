"""Which instruments may be entered, on which data, in which order: universe, require, rank."""

from fractions import Fraction

from jts_trading.domain.instruments import Asset, Market
from jts_trading.dsl import graph as g
from jts_trading.dsl import syntax as s
from jts_trading.dsl.errors import nearest
from jts_trading.dsl.grammar import HISTORY_MAX, Measure, UniverseKey, Word
from jts_trading.dsl.normal import expression_text
from jts_trading.dsl.plan import Universe
from jts_trading.dsl.resolve import Resolver
from jts_trading.dsl.values import Series
from jts_trading.dsl.warmup import add_warmup
from jts_trading.dsl.words import require_early, require_quality

_WORDS = {UniverseKey.MARKET: Market, UniverseKey.ASSET: Asset}
_FIELDS = {
    UniverseKey.MARKET: "markets",
    UniverseKey.ASSET: "assets",
    UniverseKey.SYMBOLS: str(UniverseKey.SYMBOLS),
    UniverseKey.EXCLUDE: "excluded",
}


def check_universe(resolver: Resolver, strategy: s.Strategy) -> Universe:
    """Check what instruments must be.

    Raises:
        StrategyError: A key is unknown or set twice, or a word of a listing is unknown.
    """
    found: dict[str, tuple[str, ...]] = {}
    for selection in strategy.selections:
        name = selection.name.lower()
        if name not in set(UniverseKey):
            raise resolver.refuse(
                f'unknown setting "{selection.name}"',
                selection.at,
                nearest(name, set(UniverseKey)),
            )
        key = UniverseKey(name)
        if _FIELDS[key] in found:
            raise resolver.refuse(f'"{name}" is set twice', selection.at)
        found[_FIELDS[key]] = tuple(_word(resolver, key, text) for text in selection.values)
    conditions = tuple(expression_text(each) for each in strategy.filters)
    return Universe(**found, conditions=conditions)


def _word(resolver: Resolver, key: UniverseKey, text: s.Text) -> str:
    word = text.value.strip().upper()
    known = _WORDS.get(key)
    if known is not None and word not in set(known):
        raise resolver.refuse(f'"{text.value}" is no {key}', text.at, nearest(word, set(known)))
    if not word:
        raise resolver.refuse("this text is empty", text.at)
    return word


def check_filters(resolver: Resolver, strategy: s.Strategy) -> int | None:
    """Return the truth of what every entry needs beside its own condition, or None.

    Raises:
        StrategyError: One is no condition or asks for the account, or quality is required twice.
    """
    for requirement in strategy.requirements[1:]:
        raise resolver.refuse(f"{Word.QUALITY} is required twice", requirement.at)
    truths = []
    for condition in strategy.filters:
        truth = resolver.truth(condition, g.BASE_FRAME)
        require_early(resolver, truth, condition.at)
        truths.append(truth)
    if len(truths) < 2:
        return truths[0] if truths else None
    return resolver.graph.add(g.Combine(True, tuple(truths), g.BASE_FRAME))


def check_rank(resolver: Resolver, strategy: s.Strategy) -> int | None:
    """Return the node by which entries of one instant are ordered, or None.

    Raises:
        StrategyError: It is given twice, is no series of numbers, or asks for the account.
    """
    for again in strategy.ranks[1:]:
        raise resolver.refuse(f"{Word.RANK} is given twice", again.at)
    if not strategy.ranks:
        return None
    expression = strategy.ranks[0]
    value = resolver.number(expression, g.BASE_FRAME)
    if not isinstance(value, Series):
        raise resolver.refuse("a constant puts nothing in order", expression.at)
    require_early(resolver, value.node, expression.at)
    return value.node


def with_filters(
    resolver: Resolver, strategy: s.Strategy, filters: int | None, condition: int
) -> int:
    """Return the condition of an entry joined with what every entry needs.

    Raises:
        StrategyError: A requirement reaches back no whole number of bars, or too far.
    """
    node = resolver.graph.nodes[condition]
    own = node.operands if isinstance(node, g.Combine) and node.every else (condition,)
    extra = [] if filters is None else [filters]
    for requirement in strategy.requirements:
        bars = _bars_of(resolver, requirement, (condition, *extra))
        extra.append(require_quality(resolver, bars, requirement.at))
    if not extra:
        return condition
    return resolver.graph.add(g.Combine(True, (*extra, *own), g.BASE_FRAME))


def _bars_of(resolver: Resolver, requirement: s.Requirement, conditions: tuple[int, ...]) -> int:
    literal = requirement.bars
    if literal is None:
        # By default the window that the conditions themselves look back on.
        warmup = add_warmup(resolver.graph, resolver.warmup)
        needed = max(warmup[each].get(g.BASE_FRAME, 1) for each in conditions)
        return min(needed, HISTORY_MAX)
    is_whole = literal.measure is Measure.NUMBER and literal.value.denominator == 1
    if not is_whole or not 1 <= literal.value <= Fraction(HISTORY_MAX):
        raise resolver.refuse(
            "expected a whole number of bars", literal.at, f"accepted: 1 to {HISTORY_MAX:,}"
        )
    return int(literal.value)
