"""The start of a trader: the same code after a first start, a stop and a kill."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.engine.setup import ListingOf, Prepared, load_accounts, load_market, new_state
from jts_trading.engine.state import EngineSettings, EngineState
from jts_trading.ports.clock import Clock, today
from jts_trading.services.trader.committing import Keeper
from jts_trading.services.trader.preparing import Preparation
from jts_trading.services.trader.snapshots import AccountFile, MarketFile, Places, Snapshots
from jts_trading.services.trader.taking_over import TakeOver


@dataclass(slots=True)
class Started:
    """Where a trader goes on from.

    Attributes:
        state: The engine.
        places: Entries of topics to go on behind; the others are read from their beginning.
        past: Number of the newest tick of each feed that was decided on.
        is_incomplete: Instances of the inputs still have to be warmed up.
        doubts: What a person should know.
    """

    state: EngineState
    places: Places = field(default_factory=dict)
    past: Mapping[str, int] = field(default_factory=dict)
    is_incomplete: bool = False
    doubts: list[str] = field(default_factory=list)


class Start:
    """Starts from snapshots, or from the stores.

    Args:
        snapshots: What an earlier process left.
        keeper: Commits what may not be committed yet.
        inputs: Prepares and warms instances up.
        listing_of: Market and kind of an instrument.
        clock: Of the instance.
    """

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        keeper: Keeper,
        inputs: TakeOver,
        listing_of: ListingOf,
        clock: Clock,
    ) -> None:
        self._snapshots = snapshots
        self._keeper = keeper
        self._inputs = inputs
        self._listing_of = listing_of
        self._clock = clock

    async def begin(self, inputs: TradingInputs, settings: EngineSettings) -> Started:
        """Return where to go on from; what was pending is committed.

        Raises:
            InvariantError: The journal contradicts what was pending.
        """
        prepared = await self._inputs.prepare(inputs)
        files = self._snapshots.read()
        started = None
        if files is not None:
            started = await self._from_files(*files, prepared, inputs, settings)
        if started is None:
            started = await self._from_stores(prepared, settings)
        started.state.inputs_version = inputs.version
        started.doubts += self._snapshots.damaged
        return started

    async def _from_files(
        self,
        market: MarketFile,
        accounts: AccountFile,
        prepared: Preparation,
        inputs: TradingInputs,
        settings: EngineSettings,
    ) -> Started | None:
        known = [each for each in prepared.ready if _is_stored(each, market)]
        venue = inputs.instances[0].venue if inputs.instances else "BINANCE"
        state = new_state(settings, known, self._listing_of, today(self._clock, venue))
        if load_market(state, market.half) != set(state.instances):
            return None
        load_accounts(state, accounts.half)
        await self._keeper.finish(state, accounts)
        return Started(
            state,
            places=market.places,
            past=accounts.ticks,
            is_incomplete=len(known) < len(prepared.ready),
        )

    async def _from_stores(self, prepared: Preparation, settings: EngineSettings) -> Started:
        warmed = await self._inputs.warm(prepared.ready, EngineState(settings))
        now_ns = self._clock.now_ns()
        for instance in warmed.state.instances.values():
            instance.decides_from_ns = now_ns
        return Started(warmed.state, doubts=warmed.doubts)


def _is_stored(prepared: Prepared, market: MarketFile) -> bool:
    return market.half.releases.get(prepared.spec.instance) == prepared.spec.release
