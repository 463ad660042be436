"""What has to be true before a role starts: the ledger's schema, the inputs, the releases.

Every step may be repeated and is done once: migrations under a lock of the database, inputs by
comparison with the file, releases by the ids of their facts.
"""

import asyncio
from contextlib import AsyncExitStack

import msgspec

from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.domain.journal_events import StrategyReleased
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.ports.inputs import current_inputs
from jts_trading.ports.journal import Fact
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import known_migrations, migrate

WRITER = "configuration"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts migrate --json` prints.

    Attributes:
        schema: Version of the ledger's schema now.
        applied: Versions that were applied by this call.
        inputs: Version of the trading inputs.
        releases: Strategy releases that the journal did not know as they are now.
    """

    schema: int
    applied: tuple[int, ...]
    inputs: int
    releases: tuple[str, ...]


async def prepare(daemon: DaemonSettings) -> Prepared:
    """Bring the schema up, resolve the inputs and record their releases.

    Raises:
        StorageError: The ledger is newer than this program, or does not answer.
        ConfigError: The inputs cannot be resolved.
        JournalUnavailableError: The journal did not answer.
    """
    dsn = libpq_url(daemon.settings.postgres_dsn)
    applied = await asyncio.to_thread(migrate, dsn)
    async with AsyncExitStack() as stack:
        stores = Stores(daemon.settings, WRITER, stack)
        now_ns = stores.clock.now_ns()
        inputs = current_inputs(stores.home, daemon.source, created_ns=now_ns)
        facts = _released(inputs, now_ns)
        recorded = await stores.journal().record_event(list(facts.values())) if facts else []
    new = {name for name, where in zip(facts, recorded, strict=True) if where.is_new}
    return Prepared(
        schema=len(known_migrations()),
        applied=tuple(applied),
        inputs=inputs.version,
        releases=tuple(sorted(new)),
    )


def _released(inputs: TradingInputs, now_ns: int) -> dict[str, Fact]:
    """Return one fact for each release: active if one of its instances is."""
    facts = {}
    for instance in sorted(inputs.instances, key=lambda each: each.status != "paused"):
        facts[instance.release] = Fact(
            StrategyReleased(
                strategy_id=instance.strategy_id,
                name=instance.release.partition("@")[0],
                dsl_code=instance.dsl_code,
                status=instance.status,
                release=instance.release,
            ),
            ts_ns=now_ns,
            correlation_id=f"{inputs.source}/{inputs.version}",
            event_id=f"release/{inputs.source}/{inputs.version}/{instance.strategy_id}",
        )
    return facts
