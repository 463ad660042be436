"""Wires the reconciler: every account is asked and compared."""

from jts_trading.bootstrap.kis import open_kis
from jts_trading.bootstrap.listing import listed_in
from jts_trading.bootstrap.market_rules import cost_rules
from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.brokers.kis.account import CountedPermits, KisAccount
from jts_trading.brokers.kis.rest import KisRest
from jts_trading.brokers.paper.account import PaperAccount
from jts_trading.brokers.paper.venue import FILE as PAPER_FILE
from jts_trading.execution.priority import Priority
from jts_trading.ports.clock import boottime_ns
from jts_trading.ports.state import State
from jts_trading.services.reconciler.role import Reconciler
from jts_trading.services.reconciler.settings import ReconcilerSettings


async def build(daemon: DaemonSettings, stores: Stores) -> Reconciler:
    """Return the reconciler, not yet running.

    Raises:
        ConfigError: The section `reconciler` or the inputs cannot be used.
        InputError: The list of instruments cannot be read.
    """
    state = stores.state()
    # Inputs that come later may name any broker.
    accounts = (
        await _kis_account(daemon, stores, state),
        PaperAccount(stores.home / PAPER_FILE, daemon.paper, clock=stores.clock),
    )
    return Reconciler(
        accounts=accounts,
        journal=stores.journal(),
        bus=stores.bus(),
        state=state,
        clock=stores.clock,
        boottime_ns=boottime_ns,
        costs=cost_rules(listed_in(stores)),
        settings=daemon.source.load(ReconcilerSettings, "reconciler"),
        inputs=stores.inputs(daemon.source),
        speed=stores.speed,
    )


async def _kis_account(daemon: DaemonSettings, stores: Stores, state: State) -> KisAccount:
    line = await open_kis(daemon, stores, state)
    permits = CountedPermits(
        line.permits.acquire_as(Priority.QUERY),
        environment=line.settings.environment,
        monotonic_ns=boottime_ns,
    )
    rest = KisRest(line.transport(permits), stores.clock)
    return KisAccount(rest, line.settings, permits)
