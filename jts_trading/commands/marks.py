"""The newest prices that the collector shares, each with its age."""

import asyncio
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from jts_trading.bus.redis_state import RedisState
from jts_trading.config.settings import Settings
from jts_trading.domain.feed_messages import PriceNote
from jts_trading.ports.clock import boottime_ns, open_clock
from jts_trading.ports.state import Kind, StateUnavailableError

_NS_PER_S = 1_000_000_000


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What an instrument is worth now.

    Attributes:
        age_s: Instance seconds since the trade; what is older than a few is stale.
    """

    price: Decimal
    age_s: float


def read_marks(settings: Settings, instrument_ids: Iterable[str]) -> dict[str, Mark]:
    """Return the marks that there are; empty when nobody shares prices now."""
    now_ns = open_clock(settings.instance.run_directory).now_ns()
    found = {}
    for name, content in _read(settings, instrument_ids).items():
        note = msgspec.msgpack.decode(content, type=PriceNote)
        found[name] = Mark(price=note.price, age_s=(now_ns - note.ts_event_ns) / _NS_PER_S)
    return found


def _read(settings: Settings, names: Iterable[str]) -> dict[str, bytes]:
    wanted = list(dict.fromkeys(names))

    async def read() -> dict[str, bytes]:
        state = RedisState(settings.redis_dsn, boottime_ns)
        try:
            found = {name: await state.get(Kind.PRICE, name) for name in wanted}
            return {name: content for name, content in found.items() if content}
        except StateUnavailableError:
            return {}
        finally:
            await state.close()

    return asyncio.run(read()) if wanted else {}
