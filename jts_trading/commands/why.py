"""`jts why`: why an order exists, from the bytes of a frame to its fills."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.commands import words
from jts_trading.commands.evidence import WhyDocument, chain_of_decision, chain_of_order
from jts_trading.commands.reading import LedgerReader, open_ledger
from jts_trading.config.settings import Settings, load_settings
from jts_trading.domain.instruments import (
    InstrumentError,
    Venue,
    check_symbol,
    parse_instrument_id,
    parse_venue,
)
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.sessions import local_date
from jts_trading.ports.clock import open_clock
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.tree import Tree

_ORDER = (
    "r.id::text LIKE %(prefix)s OR r.client_order_id = %(id)s OR r.venue_order_id = %(id)s"
    " OR r.decision_id = %(id)s"
)
_ID = re.compile(r"[0-9A-Za-z-]{4,64}")
# Decisions on bars of one instrument, newest first; a bar is labelled by its start.
_DECISIONS = """
SELECT seq FROM v_events WHERE type = 'decision_recorded'
AND payload ->> 'instrument_id' = %(instrument)s
AND (payload ->> 'bar_start_ns')::bigint BETWEEN %(first)s AND %(last)s
AND (%(instance)s::text IS NULL OR payload ->> 'instance' = %(instance)s)
ORDER BY (payload ->> 'bar_start_ns')::bigint DESC, seq DESC LIMIT 1
"""
_DAY_NS = 86_400_000_000_000
_KOREA = timezone(timedelta(hours=9))
_TIMES = ("%H:%M:%S", "%H:%M")


class WhyNotDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts why SYMBOL --at TIME --json` prints.

    Attributes:
        at: The instant that was asked for, ISO 8601.
        chain: The newest decision on a bar that began by then, with its order if one was given;
            None when nothing was decided on the day before.
    """

    instrument_id: str
    at: str
    chain: WhyDocument | None


@click.command()
@click.argument("what", metavar="ORDER_ID|SYMBOL")
@click.option("--at", "at_text", help="With a symbol: HH:MM[:SS] of today, or an ISO time.")
@click.option("--instance", help="With a symbol: only decisions of this strategy instance.")
@console.json_option
def why(what: str, at_text: str | None, instance: str | None, as_json: bool) -> int:
    """Say why an order exists, or why one does not.

    ORDER_ID is an order's id or its first letters, or its id at the venue. SYMBOL with --at names
    a moment instead: the newest decision on a bar that began by then.
    """
    settings = load_settings()
    with open_ledger(settings) as ledger:
        if at_text is None:
            document = _of_order(ledger, settings, what)
            console.emit(document, as_json=as_json, table=lambda: _tree(document))
            return console.DONE
        found = _at_moment(ledger, settings, what, at_text, instance)
    console.emit(found, as_json=as_json, table=lambda: _moment(found))
    return console.DONE if found.chain is not None else console.CHECK_FAILED


def _of_order(ledger: LedgerReader, settings: Settings, what: str) -> WhyDocument:
    if _ID.fullmatch(what) is None:
        raise console.CommandError(
            f"{what!r} is no order id; accepted: an id, at least four of its first letters, or"
            " SYMBOL with --at TIME",
            console.BAD_USAGE,
        )
    values = {"prefix": f"{what.lower()}%", "id": what}
    rows = ledger.rows(OrderRow, _ORDER, values, order="r.intent_seq")
    if not rows:
        raise console.CommandError(f"no order {what} is in the journal (see: jts orders --all)")
    if len(rows) > 1:
        known = ", ".join(row.id for row in rows[:5])
        raise console.CommandError(
            f"{what} is the beginning of {len(rows)} orders: {known}", console.BAD_USAGE
        )
    return chain_of_order(ledger, settings, rows[0], words.Names(settings.instance.root))


def _at_moment(
    ledger: LedgerReader, settings: Settings, what: str, at_text: str, instance: str | None
) -> WhyNotDocument:
    instrument_id = _instrument(what)
    venue = instrument_id.partition(":")[0]
    now_ns = open_clock(settings.instance.run_directory).now_ns()
    at_ns = _instant_ns(at_text, venue, local_date(venue, now_ns))
    values = {
        "instrument": instrument_id,
        "first": at_ns - _DAY_NS,
        "last": at_ns,
        "instance": instance,
    }
    found = ledger.table(_DECISIONS, values)
    chain = None
    if found:
        (stored,) = ledger.events("r.seq = %(seq)s", {"seq": found[0]["seq"]})
        decision = stored.stream.removeprefix("decision/")
        orders = ledger.rows(OrderRow, "r.decision_id = %(id)s", {"id": decision})
        names = words.Names(settings.instance.root)
        chain = (
            chain_of_order(ledger, settings, orders[-1], names)
            if orders
            else chain_of_decision(ledger, settings, stored)
        )
    return WhyNotDocument(
        instrument_id=instrument_id, at=words.iso(at_ns, venue) or "", chain=chain
    )


def _instrument(what: str) -> str:
    """Return the instrument of `KRX:005930`, `005930` or `BTCUSDT`."""
    if ":" in what:
        return str(parse_instrument_id(what))
    for venue in (Venue.KRX, Venue.BINANCE):
        try:
            return f"{venue}:{check_symbol(venue, what)}"
        except InstrumentError:
            continue
    raise console.CommandError(
        f"{what!r} is no symbol; accepted: such as 005930, KRX:005930 or BINANCE:BTCUSDT",
        console.BAD_USAGE,
    )


def _instant_ns(text: str, venue: str, today: date) -> int:
    """Return an instant in the zone of a venue unless it names another one."""
    zone = _KOREA if parse_venue(venue) in {Venue.KRX, Venue.NXT} else UTC
    for form in _TIMES:
        try:
            found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is put below
        except ValueError:
            continue
        instant = datetime.combine(today, found.time(), zone)
        break
    else:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise console.CommandError(
                f"--at is {text!r}; accepted: 09:31, 09:31:05 or 2018-02-26T09:31:05",
                console.BAD_USAGE,
            ) from None
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=zone)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (instant - epoch) // timedelta(microseconds=1) * 1000


def _tree(document: WhyDocument) -> "Tree":
    from jts_trading.commands.why_tree import tree_of

    return tree_of(document)


def _moment(found: WhyNotDocument) -> "Tree | str":
    if found.chain is None:
        return (
            f"{found.instrument_id}: nothing was decided on a bar in the day before {found.at};"
            " no rule fired, or no instance trades it"
        )
    return _tree(found.chain)
