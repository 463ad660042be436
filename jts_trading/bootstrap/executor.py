"""Wires the executor: the only role that gets a sender."""

from jts_trading.bootstrap.kis import open_kis
from jts_trading.bootstrap.listing import listed_in
from jts_trading.bootstrap.market_rules import cost_rules, rules_of
from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.brokers.kis.orders import KisOrders
from jts_trading.brokers.kis.sender import KisSender
from jts_trading.brokers.paper.sender import PaperSender
from jts_trading.brokers.paper.venue import FILE as PAPER_FILE
from jts_trading.brokers.paper.venue import PaperVenue
from jts_trading.ports.clock import boottime_ns
from jts_trading.ports.state import State
from jts_trading.services.executor.role import Executor, ExecutorStores, Times
from jts_trading.services.executor.settings import ExecutorSettings


async def build(daemon: DaemonSettings, stores: Stores) -> Executor:
    """Return the executor with a sender for each broker.

    Raises:
        ConfigError: The section `executor` cannot be used.
        InputError: The list of instruments cannot be read.
    """
    state, listed = stores.state(), listed_in(stores)
    # Inputs that come later may name any broker: a sender that is not asked costs nothing.
    paper = await _paper_venue(daemon, stores)
    return Executor(
        stores=ExecutorStores(
            journal=stores.journal(),
            beside=stores.journal(),
            leases=stores.outbox(),
            outbox=stores.outbox(),
            bus=stores.bus(),
            state=state,
        ),
        senders=(await _kis_sender(daemon, stores, state), PaperSender(paper)),
        home=stores.home,
        rules=rules_of(stores.clock, listed),
        costs=cost_rules(listed),
        times=Times(clock=stores.clock, speed=stores.speed, boottime_ns=boottime_ns),
        settings=daemon.source.load(ExecutorSettings, "executor"),
        companions=(paper.match,),
    )


async def _paper_venue(daemon: DaemonSettings, stores: Stores) -> PaperVenue:
    """Return the paper venue, which lives where its orders are sent."""
    return await stores.enter(
        PaperVenue(
            stores.home / PAPER_FILE,
            daemon.paper,
            cost_rules(),
            bus=stores.bus(),
            clock=stores.clock,
        )
    )


async def _kis_sender(daemon: DaemonSettings, stores: Stores, state: State) -> KisSender:
    line = await open_kis(daemon, stores, state)
    permits = line.permits.prepaid()
    transport = line.transport(permits.acquire)
    return KisSender(
        KisOrders(transport), transport, line.settings, permits=permits, clock=stores.clock
    )
