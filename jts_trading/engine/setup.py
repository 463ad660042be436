"""Make, join, store and load states: everything that happens before the first step."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from jts_trading.domain.instruments import parse_instrument_id, parse_venue, quantity_scale
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.engine.adding import lots_in, ticks_in
from jts_trading.engine.bars import BarBuilder
from jts_trading.engine.halves import AccountHalf, MarketHalf, take_book, take_row
from jts_trading.engine.lines import Line, Reader
from jts_trading.engine.program import Program
from jts_trading.engine.state import (
    NEVER_NS,
    BuilderKey,
    Desk,
    EngineSettings,
    EngineState,
    Instance,
)
from jts_trading.engine.succession import Succession
from jts_trading.engine.terms import units_of
from jts_trading.engine.wishes import index
from jts_trading.execution.fill_costs import Listed
from jts_trading.portfolio.instance_account import InstanceAccount
from jts_trading.strategy.frames import interval_seconds
from jts_trading.strategy.units import Units

ListingOf = Callable[[str], Listed]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instance that can be run: what it is, and its compiled program."""

    spec: StrategyInput
    program: Program


def new_state(
    settings: EngineSettings, prepared: Iterable[Prepared], listing_of: ListingOf, today: date
) -> EngineState:
    """Return a state that has seen nothing.

    Args:
        settings: Of the engine.
        prepared: Instances to run.
        listing_of: Market and kind of an instrument.
        today: Day whose steps of prices and quantities count.

    Raises:
        RuleMissingError: The steps of an instrument are not known.
        IntervalError: An instance is judged on bars that cannot be built.
    """
    state = EngineState(settings)
    for each in prepared:
        state.instances[each.spec.instance] = _new_instance(each, listing_of, today)
    attach(state)
    return state


def _new_instance(prepared: Prepared, listing_of: ListingOf, today: date) -> Instance:
    spec = prepared.spec
    units = {
        symbol: units_of(parse_instrument_id(symbol), today) for symbol in spec.instrument_ids
    }
    account = InstanceAccount(
        broker=spec.broker,
        account=spec.account,
        instance=spec.instance,
        currency=spec.currency,
        allocation=spec.allocation,
        steps={symbol: units[symbol].quantity_step for symbol in spec.instrument_ids},
    )
    return Instance(
        spec=spec,
        program=prepared.program,
        units=units,
        listings={symbol: listing_of(symbol) for symbol in spec.instrument_ids},
        account=account,
    )


def attach(state: EngineState) -> None:
    """Build what a state looks things up in, anew: after instances came or went, or a load.

    Raises:
        IntervalError: An instance is judged on bars that cannot be built.
    """
    before, state.desks, state.markets = state.desks, {}, {}
    wanted: set[BuilderKey] = set()
    for _, instance in sorted(state.instances.items()):
        venue = instance.spec.venue
        for symbol in instance.places:
            wanted.add((symbol, venue, instance.interval))
            if (symbol, venue) not in state.desks:
                desk = _new_desk(symbol, venue, instance.units[symbol])
                if (symbol, venue) in before:
                    desk.opened_ns = before[symbol, venue].opened_ns
                    desk.succession = before[symbol, venue].succession
                state.desks[symbol, venue] = desk
                state.markets.setdefault(venue, {})[symbol] = desk
            instance.look_at_holding(symbol)
    state.watching = {
        name: instance
        for name, instance in sorted(state.instances.items())
        if instance.watch is not None
    }
    state.is_prompt = bool(state.watching) or any(
        terms.stop is not None
        for instance in state.instances.values()
        for terms in instance.program.rules.terms.values()
    )
    state.builders = {key: state.builders.get(key) or _new_builder(key) for key in sorted(wanted)}
    _lay_lines(state)
    due = [builder.due_ns for builder in state.builders.values() if builder.trades]
    state.next_due_ns = min(due, default=NEVER_NS)
    index(state)


def _new_builder(key: BuilderKey) -> BarBuilder:
    symbol, venue, interval = key
    seconds = interval_seconds(interval)
    return BarBuilder(instrument_id=symbol, venue=venue, interval=interval, seconds=seconds)


def _lay_lines(state: EngineState) -> None:
    lines: dict[tuple[str, str], Line] = {}
    for (symbol, venue, interval), builder in state.builders.items():
        line = lines.get((venue, interval))
        if line is None:
            scale = quantity_scale(parse_venue(venue))
            line = lines[venue, interval] = Line(venue, interval, builder.seconds, scale)
        desk = state.desks[symbol, venue]
        desk.builders.append(builder)
        desk.lines.append((line, line.add(builder, desk.units.price_step)))
    for name, instance in sorted(state.instances.items()):
        line = lines[instance.spec.venue, instance.interval]
        line.reads_quotes |= instance.program.reads_quotes
        line.reads_doubt |= instance.program.reads_doubt
        for symbol, row in instance.places.items():
            desk = state.desks[symbol, instance.spec.venue]
            desk.reads_quotes |= instance.program.reads_quotes
            if instance.program.reads_doubt:
                desk.succession = desk.succession or Succession()
            if instance.watch is not None:
                builder = state.builders[symbol, instance.spec.venue, instance.interval]
                desk.watchers.append((instance.watch, row, builder))
        rows = [instance.places.get(symbol, -1) for symbol in line.instrument_ids]
        line.readers.append(Reader(name, np.array(rows, np.int64)))
    for desk in state.desks.values():
        desk.look_at_trades()
    state.lines = [line for _, line in sorted(lines.items())]


def _new_desk(symbol: str, venue: str, units: Units) -> Desk:
    return Desk(
        instrument_id=symbol,
        venue=venue,
        units=units,
        ticks_of=ticks_in(units.price_step),
        lots_of=lots_in(quantity_scale(parse_venue(venue))),
    )


def load_market(state: EngineState, half: MarketHalf) -> frozenset[str]:
    """Put a stored market half into a new state.

    Only instances of the stored release with every instrument of theirs are loaded.

    Returns:
        The instances that were loaded; the others have seen nothing.
    """
    stored = {(b.instrument_id, b.venue, b.interval): b for b in half.builders}
    loaded = set()
    for name, instance in state.instances.items():
        rows = half.rows.get(name, {})
        keys = [
            (symbol, instance.spec.venue, instance.interval)
            for symbol in instance.spec.instrument_ids
        ]
        is_there = half.releases.get(name) == instance.spec.release and all(
            symbol in rows and (symbol, venue, interval) in stored
            for symbol, venue, interval in keys
        )
        if not is_there:
            continue
        loaded.add(name)
        for key in keys:
            symbol = key[0]
            state.builders[key] = stored[key]
            take_row(instance, symbol, rows[symbol])
    state.feeds, state.counts, state.newest_ns = half.feeds, half.counts, half.newest_ns
    attach(state)
    for symbol, venue, opened_ns in half.last_events:
        if (symbol, venue) in state.desks:
            state.desks[symbol, venue].opened_ns = opened_ns
    for symbol, venue, succession in half.successions:
        desk = state.desks.get((symbol, venue))
        if desk is not None and desk.succession is not None:
            desk.succession.load(succession)
    return frozenset(loaded)


def load_accounts(state: EngineState, half: AccountHalf) -> frozenset[str]:
    """Put a stored account half into a state, whatever the releases are now.

    Money and positions belong to the instance, not to its release: a new release goes on with
    them. What an earlier release wanted is dropped.

    Returns:
        The instances that were loaded.
    """
    loaded = set()
    for name, instance in state.instances.items():
        stored = half.instances.get(name)
        if stored is None or not _is_same_owner(instance.account, stored.account):
            continue
        loaded.add(name)
        stored.account.allocation = instance.spec.allocation
        stored.account.steps |= instance.account.steps
        instance.account = stored.account
        instance.day, instance.day_start = stored.day, stored.day_start
        if stored.release == instance.spec.release:
            instance.decides_from_ns = stored.decides_from_ns
        for symbol, book in stored.books.items():
            if symbol in instance.books:
                if stored.release != instance.spec.release:
                    book.wanted = book.given = None
                take_book(instance, symbol, book)
    state.journal_seq = half.journal_seq
    attach(state)
    return frozenset(loaded)


def _is_same_owner(mine: InstanceAccount, stored: InstanceAccount) -> bool:
    return (mine.broker, mine.account, mine.currency) == (
        stored.broker,
        stored.account,
        stored.currency,
    )


def take_over(state: EngineState, ready: EngineState, specs: Mapping[str, StrategyInput]) -> None:
    """Let a running state have exactly these instances: its own, and those of a warmed-up one.

    Args:
        state: The running engine; changed.
        ready: Has read the same ticks; its instances are new ones, or replace those of the same
            name, whose money and positions they take over.
        specs: Every instance that is to run, by name.
    """
    accounts = {name: instance for name, instance in state.instances.items() if name in specs}
    for name, instance in ready.instances.items():
        before = accounts.get(name)
        if before is not None and _is_same_owner(instance.account, before.account):
            before.account.allocation = instance.spec.allocation
            before.account.steps |= instance.account.steps
            instance.account = before.account
            instance.day, instance.day_start = before.day, before.day_start
            for symbol, book in before.books.items():
                if symbol in instance.books:
                    instance.books[symbol].take(book)
        accounts[name] = instance
    for key, builder in ready.builders.items():
        state.builders.setdefault(key, builder)
    state.instances = {name: accounts[name] for name in specs if name in accounts}
    for name, instance in state.instances.items():
        instance.spec = specs[name]
    attach(state)
