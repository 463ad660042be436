"""Wires the collector: one socket per app key or venue, all that the inputs name on them."""

from jts_trading.bootstrap.binance import open_binance
from jts_trading.bootstrap.kis import open_kis
from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.brokers.kis.feed import KisFeed
from jts_trading.brokers.kis.history import KisHistory
from jts_trading.brokers.kis.rest import KisRest
from jts_trading.brokers.kis.stream import KisStream
from jts_trading.domain.instruments import Venue
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.ports.clock import boottime_ns
from jts_trading.ports.history import History
from jts_trading.services.collector.reception import CollectedFeed
from jts_trading.services.collector.role import Collector
from jts_trading.services.collector.settings import CollectorSettings
from jts_trading.telemetry.health import Role


async def build(daemon: DaemonSettings, stores: Stores) -> Role:
    """Return the collector of every venue, with what the inputs name now."""
    clock, state = stores.clock, stores.state()
    wanted = _instruments(stores.inputs(daemon.source))
    # A venue that nothing is traded on now may be named by inputs that come later.
    line = await open_kis(daemon, stores, state)
    kis = KisFeed(KisStream(line.settings, line.access, clock=clock), line.settings)
    binance, binance_rest = await open_binance(daemon, stores, state)
    histories: dict[str, History] = {
        kis.broker: KisHistory(KisRest(line.queries(), clock), clock),
        binance.broker: binance_rest,
    }
    return Collector(
        feeds=(
            CollectedFeed("kis-1", kis, wanted.get(Venue.KRX, ())),
            CollectedFeed("binance-1", binance, wanted.get(Venue.BINANCE, ())),
        ),
        bus=stores.bus(),
        state=state,
        clock=clock,
        home=stores.home,
        settings=daemon.source.load(CollectorSettings, "collector"),
        histories=histories,
        speed=stores.speed,
        monotonic_ns=boottime_ns,
    )


def _instruments(inputs: TradingInputs) -> dict[str, tuple[str, ...]]:
    """Return the instruments of each venue, each once, in the order of the instances."""
    found: dict[str, dict[str, None]] = {}
    for instance in inputs.instances:
        found.setdefault(instance.venue, {}).update(dict.fromkeys(instance.instrument_ids))
    return {venue: tuple(names) for venue, names in found.items()}
