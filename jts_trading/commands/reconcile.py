"""`jts reconcile`: one look at the brokers now.

A running reconciler is asked to look, and what it then says of each account is shown. Where none
runs, this command compares by itself and changes nothing.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.bootstrap.accounts import open_accounts
from jts_trading.bootstrap.listing import listed_in
from jts_trading.bootstrap.market_rules import cost_rules
from jts_trading.bootstrap.settings import DaemonSettings, load_daemon
from jts_trading.bootstrap.stores import Stores
from jts_trading.commands import words
from jts_trading.commands.comparison import ShownFinding, compare_account
from jts_trading.domain.errors import JtsError
from jts_trading.domain.feed_messages import NoticesCollected, ReconciledNote
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import SystemClock, boottime_ns
from jts_trading.ports.journal import JournalUnavailableError
from jts_trading.ports.state import Kind
from jts_trading.telemetry import console
from jts_trading.telemetry.health import read_health

if TYPE_CHECKING:
    from rich.table import Table

ROLE = "reconciler"
_TOPIC = "orders.notices"
_FRESH_NS = 5_000_000_000
_POLL_S = 0.1
_NOTES = msgspec.msgpack.Decoder(ReconciledNote)


class ShownReconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """How one account stands.

    Attributes:
        is_right: Money and positions are the broker's, and no order is in doubt.
        problem: Why nobody could say; empty when somebody could.
        difference: What the broker has more than our books, in words; empty for nothing.
        halted: Instruments in which both disagree.
        findings: What a reconciler would record now; only where this command compared itself.
    """

    account: str
    is_right: bool
    problem: str = ""
    difference: str = ""
    unknown_orders: int = 0
    halted: tuple[str, ...] = ()
    findings: tuple[ShownFinding, ...] = ()


class ReconcileDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts reconcile --json` prints.

    Attributes:
        by: `reconciler` when a running one looked, `comparison` when this command did.
    """

    by: str
    is_right: bool
    accounts: tuple[ShownReconciliation, ...]


@click.command()
@click.option(
    "--timeout", "timeout_s", default=20.0, show_default=True, help="Longest wait, in seconds."
)
@console.json_option
def reconcile(timeout_s: float, as_json: bool) -> int:
    """Reconcile every account now; exit 1 if one is not right or could not be looked at.

    Without a running reconciler this compares the journal with the broker and changes nothing.
    """
    daemon = load_daemon()
    document = asyncio.run(_reconcile(daemon, timeout_s))
    console.emit(document, as_json=as_json, table=lambda: _table(document))
    return console.DONE if document.is_right else console.CHECK_FAILED


async def _reconcile(daemon: DaemonSettings, timeout_s: float) -> ReconcileDocument:
    async with AsyncExitStack() as stack:
        stores = Stores(daemon.settings, "reconcile", stack)
        inputs = stores.inputs(daemon.source)
        is_running = _is_running(daemon)
        if is_running:
            accounts = await _ask(stores, inputs, timeout_s)
        else:
            accounts = await _compare(daemon, stores, timeout_s)
    return ReconcileDocument(
        by=ROLE if is_running else "comparison",
        is_right=all(account.is_right for account in accounts),
        accounts=tuple(accounts),
    )


def _is_running(daemon: DaemonSettings) -> bool:
    health = read_health(daemon.settings.instance.run_directory, ROLE)
    return health is not None and SystemClock().now_ns() - health.real_ns < _FRESH_NS


async def _ask(
    stores: Stores, inputs: TradingInputs, timeout_s: float
) -> list[ShownReconciliation]:
    """Ask the running reconciler, and wait until it has looked."""
    asked_ns, now_ns = boottime_ns(), stores.clock.now_ns()
    named = list(dict.fromkeys((each.broker, each.account) for each in inputs.instances))
    bus, state = stores.bus(), stores.state()
    for broker, account in named:
        # A message without notices: nothing happened, somebody asks.
        message = NoticesCollected(broker=broker, account=account, notices=())
        await bus.publish(_TOPIC, _envelope(message, f"reconcile/{asked_ns}", now_ns))
    left = {f"{broker}/{account}" for broker, account in named}
    deadline = time.monotonic() + timeout_s
    found: dict[str, ShownReconciliation] = {}
    while left and time.monotonic() < deadline:
        for name in sorted(left):
            content = await state.get(Kind.RECONCILED, name)
            note = _NOTES.decode(content) if content else None
            if note is not None and note.real_ns >= asked_ns:
                left.discard(name)
                found[name] = _looked_at(name, note)
        await asyncio.sleep(_POLL_S)
    for name in left:
        problem = f"the reconciler did not find it right within {timeout_s:g} s"
        found[name] = ShownReconciliation(account=name, is_right=False, problem=problem)
    return [found[f"{broker}/{account}"] for broker, account in named]


def _looked_at(name: str, note: ReconciledNote) -> ShownReconciliation:
    return ShownReconciliation(
        account=name,
        is_right=not note.halted and not note.unknown_orders,
        unknown_orders=note.unknown_orders,
        halted=note.halted,
    )


async def _compare(
    daemon: DaemonSettings, stores: Stores, timeout_s: float
) -> list[ShownReconciliation]:
    journal, rules = stores.journal(), cost_rules(listed_in(stores))
    try:
        # Without our own books there is nothing to compare: no broker need be asked.
        await journal.ledger()
    except JournalUnavailableError as error:
        text = f"{error}; start it with: jts up"
        raise console.CommandError(text, console.STORAGE_FAILED) from error
    shown = []
    for account in await open_accounts(daemon, stores, stores.state()):
        name = f"{account.broker}/{account.account}"
        try:
            async with asyncio.timeout(timeout_s):
                found = await compare_account(account, journal, stores.clock, rules)
        except (JtsError, TimeoutError) as error:
            late = f"{account.broker} did not answer within {timeout_s:g} s"
            problem = late if isinstance(error, TimeoutError) else str(error)
            shown.append(ShownReconciliation(account=name, is_right=False, problem=problem))
            continue
        shown.append(
            ShownReconciliation(
                account=name,
                is_right=not (found.difference or found.unknown_orders or found.findings),
                difference=str(found.difference) if found.difference else "",
                unknown_orders=found.unknown_orders,
                halted=tuple(held for held, _ in found.difference.positions),
                findings=found.findings,
            )
        )
    return shown


def _envelope(message: NoticesCollected, name: str, now_ns: int) -> Envelope:
    kind, version = MESSAGES.identify(message)
    return Envelope(
        type=kind,
        version=version,
        id=f"{name}/{message.broker}/{message.account}",
        correlation_id=name,
        causation_id=name,
        source="command",
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
        payload=msgspec.msgpack.encode(message),
    )


def _table(document: ReconcileDocument) -> "Table | str":
    from rich.table import Table

    if not document.accounts:
        return "the trading inputs name no account"
    who = {"comparison": "compared by this command: no reconciler runs; nothing was changed"}
    table = Table(caption=who.get(document.by, "looked at by the reconciler"))
    table.caption_justify = "left"
    for title in ("account", "stands"):
        table.add_column(title, overflow="fold")
    table.add_column("orders in doubt", justify="right")
    table.add_column("to be recorded", overflow="fold")
    for account in document.accounts:
        state = account.problem or account.difference or ", ".join(account.halted) or "right"
        found = "\n".join(_finding(each) for each in account.findings)
        table.add_row(account.account, state, str(account.unknown_orders), found or "-")
    return table


def _finding(found: ShownFinding) -> str:
    return f"{words.short(found.order_id)} {found.event}: {found.text}".strip()
