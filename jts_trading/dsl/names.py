"""Names of a strategy: which are taken, what they are bound to, and what a wrong one meant."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from jts_trading.dsl.errors import nearest
from jts_trading.dsl.facts import FACT_ROOTS
from jts_trading.dsl.grammar import (
    CLOCK_COLUMNS,
    COLUMNS,
    FASTEST_BROKER_CALL,
    FRAMES_MAX,
    FUNCTION_WORDS,
    KELLY_CALL,
    MINUTE_BLOCKS,
    QUOTE_COLUMNS,
    RESERVED,
    SESSION_COLUMN,
    Word,
)
from jts_trading.dsl.lexer import SourceText
from jts_trading.dsl.syntax import Definition, Expression, Record, Strategy
from jts_trading.dsl.values import Bound, Fixed
from jts_trading.dsl.walk import calls, references
from jts_trading.indicators.catalog import NATIVE, Catalog

CYCLE_SHOWN = 10
# Names that the language has given a meaning: no user's name may hide them.
_WORDS = frozenset({*CLOCK_COLUMNS, SESSION_COLUMN, Word.QUALITY, *FACT_ROOTS})
# What a bar is asked for; every call reads bars, but those that belong to an order.
_BAR_WORDS = frozenset({*COLUMNS, *QUOTE_COLUMNS, *CLOCK_COLUMNS, SESSION_COLUMN, Word.QUALITY})
_ORDER_CALLS = frozenset({KELLY_CALL, FASTEST_BROKER_CALL})


@dataclass(frozen=True, slots=True)
class Frames:
    """Time frames: number by name, and (name, seconds) by number; 0 is the base.

    The seconds of the base are None when the text does not say them.
    """

    numbers: dict[str, int]
    table: tuple[tuple[str, int | None], ...]


@dataclass(slots=True)
class Scope:
    """What names mean, filled definition by definition."""

    source: SourceText
    strategy: Strategy
    frames: Frames
    catalog: Catalog = NATIVE
    params: dict[str, Fixed] = field(default_factory=dict)
    bound: dict[tuple[int, str], Bound] = field(default_factory=dict)

    def bind(self, frame: int, definition: Definition, value: Bound) -> None:
        """Bind a defined name."""
        self.bound[(frame, definition.name)] = value

    def known(self, frame: int) -> set[str]:
        """Return what can be written in an expression of a frame."""
        names = {name for (f, name) in self.bound if f == frame}
        names |= {*COLUMNS, *self.catalog.names, *self.params, *FUNCTION_WORDS, SESSION_COLUMN}
        if frame == 0:
            names |= {*QUOTE_COLUMNS, *self.frames.numbers, *_WORDS}
            names |= {f"{self.frames.table[f][0]}.{name}" for (f, name) in self.bound if f}
        return names

    def unknown(self, name: str, frame: int) -> tuple[str, str]:
        """Return message and hint for a name that is not bound."""
        later = [d for d in self.strategy.definitions if d.name == name]
        if later:
            cycle = _cycle(name, self.strategy.definitions)
            if cycle:
                shown = (
                    cycle
                    if len(cycle) <= CYCLE_SHOWN
                    else [*cycle[: CYCLE_SHOWN - 2], "...", name]
                )
                return f'"{name}" refers to itself: {" -> ".join(shown)}', ""
            line = self.source.place(later[0].at).line
            if later[0].frame and self.frames.numbers.get(later[0].frame, frame) != frame:
                return f'"{name}" belongs to {later[0].frame}', f"write {later[0].frame}.{name}"
            return f'"{name}" is used before line {line} defines it', "move its definition up"
        if self.catalog.find(name) is not None or name.lower() in FUNCTION_WORDS:
            return f'"{name}" is called', f"write {name}(...), see docs/indicators.md"
        return f'unknown name "{name}"', nearest(name, self.known(frame))


def _cycle(name: str, definitions: tuple[Definition, ...]) -> list[str]:
    """Return the shortest way from a name back to itself, or nothing."""
    uses = {d.name: references(d.value) for d in definitions}
    ways = [[name]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for following in sorted(uses.get(way[-1], ())):
            if following == name:
                return [*way, name]
            if following in uses and following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def check_new_name(source: SourceText, name: str, at: int, taken: dict[str, str]) -> None:
    """Check that a name may be given, and remember it.

    Raises:
        StrategyError: It is reserved, or names something else already.
    """
    lower = name.lower()
    if lower in RESERVED:
        raise source.refuse(f'"{name}" is a word of the language', at, "choose another name")
    if lower in (*COLUMNS, *QUOTE_COLUMNS):
        raise source.refuse(f'"{name}" is a column of the bars', at, "choose another name")
    if lower in _WORDS:
        raise source.refuse(f'"{name}" is a word of the language', at, "choose another name")
    if name in taken:
        raise source.refuse(f'"{name}" is defined twice: {taken[name]}', at, "choose another name")
    taken[name] = f"first in line {source.place(at).line}"


def build_frames(source: SourceText, strategy: Strategy, lengths: dict[str, int]) -> Frames:
    """Order the time frames; the base is the finest one that is used.

    What is written outside `on` and without the name of a frame (`close`, `SMA(20)`, `time`) uses
    the finest one that is declared.

    Args:
        source: The text, for errors.
        strategy: Its syntax.
        lengths: Seconds of each declared frame, by name.

    Raises:
        StrategyError: A frame is no multiple of the base, or there are too many.
    """
    used = _used_names(strategy)
    if lengths and _reads_plain_bars(strategy):
        used.add(min(lengths, key=lambda name: lengths[name]))
    chosen = {n: s for n, s in lengths.items() if n in used} or dict(lengths)
    if not chosen:
        minutes = [MINUTE_BLOCKS[b.block] for b in strategy.rules if b.block in MINUTE_BLOCKS]
        return Frames({}, (("base", min(minutes, default=None)),))
    ordered = sorted(set(chosen.values()))
    first = {seconds: min(n for n in chosen if chosen[n] == seconds) for seconds in ordered}
    at = {s.name: s.at for s in strategy.timeframes}
    for seconds in ordered:
        if seconds % ordered[0]:
            raise source.refuse(
                f'"{first[seconds]}" is no multiple of "{first[ordered[0]]}", the finest used',
                at[first[seconds]],
            )
    if len(ordered) > FRAMES_MAX:
        raise source.refuse(f"at most {FRAMES_MAX} time frames", strategy.timeframes[0].at)
    numbers = {name: ordered.index(seconds) for name, seconds in chosen.items()}
    # A declared frame that nothing uses stays unknown to expressions, which do not name it.
    return Frames(numbers, tuple((first[seconds], seconds) for seconds in ordered))


def _used_names(strategy: Strategy) -> set[str]:
    """Return the time frames and the first parts of all names that a strategy uses."""
    used = {d.frame for d in strategy.definitions if d.frame}
    values = (d.value for d in strategy.definitions)
    return used.union(*(references(node) for node in (*values, *_outside_definitions(strategy))))


def _reads_plain_bars(strategy: Strategy) -> bool:
    """Tell whether anything asks for bars without saying of which time frame."""
    plain = (d.value for d in strategy.definitions if not d.frame)
    nodes = (*plain, *_outside_definitions(strategy))
    return any(references(node) & _BAR_WORDS or calls(node) - _ORDER_CALLS for node in nodes)


def _outside_definitions(strategy: Strategy) -> Iterator[Expression | Record]:
    """Yield the expressions of filters, ranks, rules and orders."""
    yield from (*strategy.filters, *strategy.ranks)
    for rule in (rule for block in strategy.rules for rule in block.rules):
        yield rule.condition
        yield from (a.value for action in rule.actions for a in action.arguments)
