"""Check a parsed strategy: every name, type, range and limit; the result is a resolved program."""

import re
from collections.abc import Mapping

from jts_trading.dsl import syntax as s
from jts_trading.dsl.actions import check_action
from jts_trading.dsl.errors import nearest
from jts_trading.dsl.grammar import (
    EDGE_TRIGGERED,
    ENTRY_SIDES,
    RULE_SIDES,
    RULES_MAX,
    Block,
    Measure,
)
from jts_trading.dsl.graph import Fact, Graph
from jts_trading.dsl.guard import split
from jts_trading.dsl.lexer import SourceText
from jts_trading.dsl.names import Scope, build_frames, check_new_name
from jts_trading.dsl.normal import expression_text
from jts_trading.dsl.plan import Rule
from jts_trading.dsl.program import CheckedRule, Program
from jts_trading.dsl.resolve import Resolver
from jts_trading.dsl.settings import (
    check_params,
    check_risk,
    check_sources,
    check_timeframes,
    may_add,
)
from jts_trading.dsl.universe import check_filters, check_rank, check_universe, with_filters
from jts_trading.dsl.values import KIND_OF_MEASURE, Fixed
from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.indicators.symbols import Recording

_NAME = re.compile(r"[A-Za-z0-9가-힣][A-Za-z0-9_가-힣 .-]{0,63}")
_LETTER = re.compile(r"[A-Za-z0-9_가-힣 .-]")


def check(
    strategy: s.Strategy,
    source: SourceText,
    overrides: Mapping[str, str],
    catalog: Catalog = NATIVE,
    recording: Recording | None = None,
) -> Program:
    """Check a strategy.

    Args:
        strategy: Its syntax.
        source: Its text, for errors.
        overrides: Values of parameters that replace the declared ones.
        catalog: The indicators that the text may call.
        recording: Makes symbols of the parameters, if there is one.

    Raises:
        StrategyError: With line, column and what would be accepted.
    """
    return resolve(strategy, source, overrides, catalog, recording)[0]


def resolve(
    strategy: s.Strategy,
    source: SourceText,
    overrides: Mapping[str, str],
    catalog: Catalog = NATIVE,
    recording: Recording | None = None,
) -> tuple[Program, Resolver]:
    """Check a strategy; return the program, and what its expressions resolve with.

    Raises:
        StrategyError: See `check`.
    """
    _check_name(source, strategy.name)
    taken: dict[str, str] = {}
    params = check_params(source, strategy.params, overrides, taken)
    lengths = check_timeframes(source, strategy.timeframes, taken)
    scope = Scope(source, strategy, build_frames(source, strategy, lengths), catalog)
    for parameter in params:
        kind = KIND_OF_MEASURE[Measure(parameter.measure)]
        value = parameter.value if recording is None else recording.parameter(parameter.value)
        scope.params[parameter.name] = Fixed(value, kind, parameter.currency)
    resolver = Resolver(scope, Graph())
    for node in strategy.params:
        resolver.require_currency(node.value.currency, node.value.at)
    _define(resolver, strategy, taken)
    risk = check_risk(resolver, strategy.risk)
    filters, pyramids = check_filters(resolver, strategy), may_add(strategy.risk, risk)
    rules = _rules(resolver, strategy, filters, pyramids=pyramids)
    sources = check_sources(source, strategy.sources)
    program = Program(
        strategy.name.value,
        scope.frames,
        resolver.graph,
        rules,
        risk,
        params,
        sources,
        resolver.currency,
        check_universe(resolver, strategy),
        check_rank(resolver, strategy),
    )
    return program, resolver


def _check_name(source: SourceText, name: s.Text) -> None:
    if _NAME.fullmatch(name.value):
        return
    at = next((n for n, sign in enumerate(name.value) if not _LETTER.fullmatch(sign)), None)
    hint = (
        "it begins with a letter or digit" if at is None else f"{name.value[at]} is none of them"
    )
    raise source.refuse(
        "the name of a strategy has 1 to 64 letters, digits, spaces and _ . -",
        name.at + (0 if at is None else 1 + at),
        hint,
    )


def _define(resolver: Resolver, strategy: s.Strategy, taken: dict[str, str]) -> None:
    scope = resolver.scope
    by_frame: dict[int, dict[str, str]] = {}
    for definition in strategy.definitions:
        frame = 0
        if definition.frame:
            if definition.frame not in scope.frames.numbers:
                raise resolver.refuse(
                    f'unknown time frame "{definition.frame}"',
                    definition.frame_at,
                    nearest(definition.frame, scope.frames.numbers),
                )
            frame = scope.frames.numbers[definition.frame]
        names = by_frame.setdefault(frame, dict(taken))
        check_new_name(scope.source, definition.name, definition.at, names)
        scope.bind(frame, definition, resolver.bound(definition.value, frame))


def _rules(
    resolver: Resolver, strategy: s.Strategy, filters: int | None, *, pyramids: bool
) -> tuple[CheckedRule, ...]:
    source = resolver.scope.source
    if not strategy.rules:
        raise source.refuse(
            "this strategy has no rules", strategy.at, f"write {next(iter(RULE_SIDES))} {{ ... }}"
        )
    found: list[CheckedRule] = []
    for block in strategy.rules:
        side = RULE_SIDES[block.block]
        for when in block.rules:
            truth = resolver.truth(when.condition, 0)
            if side in ENTRY_SIDES:
                truth = with_filters(resolver, strategy, filters, truth)
            condition, guard = split(resolver.graph, truth)
            text = expression_text(when.condition)
            is_flat = side in ENTRY_SIDES and not pyramids
            if guard is not None:
                _check_guard(resolver, when, block.block)
                if is_flat:
                    _require_no_position(resolver, guard, when.at)
            for action in when.actions:
                order = check_action(resolver, action, side)
                for _, price in order.prices if is_flat else ():
                    _require_no_position(resolver, price, action.at)
                is_edge = block.block in EDGE_TRIGGERED
                place = source.place(action.at)
                rule = Rule(
                    bit=len(found),
                    side=side,
                    action=order.action,
                    quantity=order.quantity,
                    order_type=order.order_type,
                    time_in_force=order.time_in_force,
                    broker=order.broker,
                    is_guarded=guard is not None,
                    on_trades=is_edge,
                    condition=text,
                    line=place.line,
                    column=place.column,
                )
                found.append(CheckedRule(rule, condition, order.prices, is_edge, guard))
                if len(found) > RULES_MAX:
                    raise source.refuse(f"a strategy has at most {RULES_MAX} orders", action.at)
    return tuple(found)


def _check_guard(resolver: Resolver, when: s.When, block: Block) -> None:
    if block in EDGE_TRIGGERED:
        raise resolver.refuse(
            f"{block} fires when its condition becomes true on bars: it cannot ask for position "
            "or portfolio",
            when.at,
            "use entry.long, or limits of risk_management",
        )


def _require_no_position(resolver: Resolver, root: int, at: int) -> None:
    """Refuse what is null while there is no position: the entry could never be given."""
    nodes = resolver.graph.nodes
    for number in sorted(resolver.graph.reachable((root,))):
        node = nodes[number]
        if isinstance(node, Fact) and node.needs_position:
            raise resolver.refuse(
                f"an entry is judged while there is no position: {node.name} is null then",
                at,
                "accepted in entries: position.quantity, position.value, position.entries and "
                "portfolio; with pyramiding in risk_management all words of a position",
            )
