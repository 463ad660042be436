"""Public queries of Binance spot: snapshots of books, bars, the day's figures, rules, time."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import httpx

from jts_trading.brokers.binance import codec, limits, wire
from jts_trading.brokers.binance.errors import VenueBusyError, error_for
from jts_trading.brokers.binance.settings import BinanceSettings
from jts_trading.domain.instruments import InstrumentError, Venue, parse_instrument_id
from jts_trading.domain.ticks import BookTick, HistoryBar, Quote
from jts_trading.ports.clock import Clock

INTERVALS = frozenset(
    ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w")
)
# Ends a history whose pages never end: 100,000 bars.
PAGES_MAX = 100
# Returns when a call of this weight may be made; shared by all of one address.
Acquire = Callable[[int], Awaitable[None]]


async def free_permits(weight: int) -> None:
    """Give leave at once: for one lone caller."""
    del weight


class BinanceRest:
    """Asks about the market; see `ports.history.History`.

    Every method raises VenueBusyError (ask again later), VenueRefusedError (the question is
    wrong), DecodeError (the answer cannot be read) and InstrumentError (nothing of Binance).

    Args:
        settings: Where it is.
        http: The client; its time-outs bound every call.
        clock: Dates what is received.
        acquire: Gives leave to call, under the weight of the address.
    """

    def __init__(
        self,
        settings: BinanceSettings,
        http: httpx.AsyncClient,
        clock: Clock,
        *,
        acquire: Acquire = free_permits,
    ) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._acquire = acquire
        self.used_weight = 0

    async def snapshot(self, symbol: str) -> bytes:
        """Return the bytes of an order book, checked to be one."""
        levels = self._settings.depth_limit
        query = {"symbol": symbol, "limit": str(levels)}
        body = await self._ask(limits.DEPTH_PATH, query, limits.depth_weight(levels))
        codec.decode_snapshot(body)
        return body

    async def quote(self, instrument_id: str) -> Quote:
        """Return figures of the last 24 hours."""
        path = "/api/v3/ticker/24hr"
        body = await self._ask(path, {"symbol": _symbol(instrument_id)}, limits.WEIGHTS[path])
        return codec.decode_day(body, self._clock.now_ns())

    async def book(self, instrument_id: str) -> BookTick:
        """Return the order book as far as the settings ask for it."""
        symbol = _symbol(instrument_id)
        found = codec.decode_snapshot(await self.snapshot(symbol))
        now = self._clock.now_ns()
        return codec.book_tick(
            symbol,
            codec.levels(found.asks),
            codec.levels(found.bids),
            ts_event_ns=now,
            ts_recv_ns=now,
        )

    async def candles(
        self, instrument_id: str, interval: str, start_ns: int, end_ns: int
    ) -> Sequence[HistoryBar]:
        """Return closed bars that begin in [start_ns, end_ns), oldest first.

        Raises:
            InstrumentError: The venue has no bars of this interval.
        """
        if interval not in INTERVALS:
            raise InstrumentError(
                f"Binance has no bars of {interval!r}; accepted: {', '.join(sorted(INTERVALS))}"
            )
        symbol, path = _symbol(instrument_id), "/api/v3/klines"
        bars: list[HistoryBar] = []
        for _ in range(PAGES_MAX):
            query = {
                "symbol": symbol,
                "interval": interval,
                "startTime": str(-(-start_ns // codec.NS_PER_MS)),
                "endTime": str((end_ns - 1) // codec.NS_PER_MS),
                "limit": str(limits.KLINES_MAX),
            }
            body = await self._ask(path, query, limits.WEIGHTS[path])
            now = self._clock.now_ns()
            page = codec.decode_klines(body, symbol, now)
            # The newest bar may still run.
            bars += [bar for bar, last_ns in page if last_ns < now]
            if len(page) < limits.KLINES_MAX:
                break
            start_ns = page[-1][0].start_ns + codec.NS_PER_MS
        return tuple(bars)

    async def exchange(self, symbols: Sequence[str]) -> wire.ExchangeRules:
        """Return the trading rules of some symbols."""
        path = "/api/v3/exchangeInfo"
        names = ",".join(f'"{symbol}"' for symbol in symbols)
        body = await self._ask(path, {"symbols": f"[{names}]"}, limits.WEIGHTS[path])
        return codec.decode_exchange(body)

    async def time_ns(self) -> int:
        """Return the venue's time, UTC ns."""
        path = "/api/v3/time"
        return codec.decode_time_ns(await self._ask(path, {}, limits.WEIGHTS[path]))

    async def _ask(self, path: str, query: Mapping[str, str], weight: int) -> bytes:
        await self._acquire(weight)
        try:
            answer = await self._http.get(self._settings.rest_root + path, params=dict(query))
        except httpx.HTTPError as error:
            raise VenueBusyError(f"Binance {path}: {type(error).__name__}") from error
        used = answer.headers.get(limits.USED_WEIGHT_HEADER, "")
        self.used_weight = int(used) if used.isdigit() else self.used_weight
        if answer.status_code == httpx.codes.OK:
            return answer.content
        wait = answer.headers.get("Retry-After", "")
        retry_after_s = float(wait) if wait.isdigit() else 0.0
        refusal = codec.decode_refusal(answer.content)
        if refusal is None or answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise VenueBusyError(f"Binance {path}: HTTP {answer.status_code}", retry_after_s)
        raise error_for(refusal.code, refusal.msg, retry_after_s)


def _symbol(instrument_id: str) -> str:
    found = parse_instrument_id(instrument_id)
    if found.market is not Venue.BINANCE:
        raise InstrumentError(f"{instrument_id} is not traded at Binance")
    return found.symbol
