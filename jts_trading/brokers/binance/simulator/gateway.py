"""The simulated REST of public market data: weights, errors, and answers of the markets."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jts_trading.brokers.binance import limits
from jts_trading.brokers.binance.simulator.market import INTERVALS_MS, PairMarket, at_ms
from jts_trading.brokers.binance.simulator.settings import SimulatorSettings
from jts_trading.simulation.faults import FaultKind, FaultPlan, Stage
from jts_trading.simulation.http import Reply, Request

_NS_PER_S = 1_000_000_000
_WINDOW_S = 60
_QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB")


class _RefusedError(Exception):
    """The question is wrong; the venue's code and words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Gateway:
    """Answers requests one at a time; never awaits.

    Args:
        settings: The host.
        markets: What trades, by symbol.
        now_ns: Time of the venue, UTC ns.
        real_ns: Time in which weights are counted.
        faults: What goes wrong on purpose.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        markets: Mapping[str, PairMarket],
        *,
        now_ns: Callable[[], int],
        real_ns: Callable[[], int],
        faults: FaultPlan,
    ) -> None:
        self._settings = settings
        self._markets = markets
        self._now_ns = now_ns
        self._real_ns = real_ns
        self._faults = faults
        self._window = -1
        self._used = 0
        self._answer: dict[str, Callable[[Mapping[str, str]], bytes]] = {
            "/api/v3/ping": lambda _: b"{}",
            "/api/v3/time": lambda _: _json({"serverTime": at_ms(now_ns())}),
            "/api/v3/exchangeInfo": self._exchange,
            "/api/v3/klines": self._klines,
            "/api/v3/ticker/24hr": self._day,
            limits.DEPTH_PATH: self._depth,
        }

    def answer(self, request: Request) -> Reply | None:
        """Answer one request."""
        answer = self._answer.get(request.path)
        if answer is None or request.method != "GET":
            return Reply(404, b"<html><body>Not Found</body></html>")
        fault = self._faults.next(Stage.REQUEST)
        is_limited = fault is not None and fault.kind is FaultKind.RATE_LIMIT
        try:
            wait_s = self._weighed(_weight(request))
            if wait_s or is_limited:
                body = _json({"code": -1003, "msg": "Too many requests; please use streams."})
                return Reply(429, body, {"Retry-After": str(wait_s or 1)})
            body = answer(request.query)
        except _RefusedError as error:
            return Reply(400, _json({"code": error.code, "msg": error.text}), self._headers())
        return Reply(200, body, self._headers())

    def _weighed(self, weight: int) -> int:
        """Count a weight; returns for how many seconds nothing may be asked, if it is too much."""
        second = self._real_ns() // _NS_PER_S
        if second // _WINDOW_S != self._window:
            self._window, self._used = second // _WINDOW_S, 0
        if self._used + weight > self._settings.weight_per_min:
            return int(_WINDOW_S - second % _WINDOW_S)
        self._used += weight
        return 0

    def _headers(self) -> dict[str, str]:
        return {limits.USED_WEIGHT_HEADER: str(self._used)}

    def _market(self, query: Mapping[str, str]) -> PairMarket:
        symbol = query.get("symbol")
        if symbol is None:
            raise _RefusedError(
                -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            )
        market = self._markets.get(symbol)
        if market is None:
            raise _RefusedError(-1121, "Invalid symbol.")
        return market

    def _depth(self, query: Mapping[str, str]) -> bytes:
        market = self._market(query)
        body = market.depth(_whole(query, "limit", 100, limits.DEPTH_LEVELS_MAX))
        if body is None:
            raise _RefusedError(-1112, "No orders on book for symbol.")
        return body

    def _klines(self, query: Mapping[str, str]) -> bytes:
        market = self._market(query)
        interval = query.get("interval", "")
        if interval not in INTERVALS_MS:
            raise _RefusedError(-1120, "Invalid interval.")
        first, last = (
            _whole(query, name, 0, 1 << 53) if name in query else None
            for name in ("startTime", "endTime")
        )
        limit = _whole(query, "limit", 500, limits.KLINES_MAX)
        return _json(market.klines(interval, first, last, limit))

    def _day(self, query: Mapping[str, str]) -> bytes:
        day = self._market(query).day()
        if day is None:
            raise _RefusedError(-1112, "No orders on book for symbol.")
        return _json(day)

    def _exchange(self, query: Mapping[str, str]) -> bytes:
        names = list(self._markets)
        if "symbol" in query:
            names = [self._market(query).symbol]
        elif "symbols" in query:
            try:
                names = msgspec.json.decode(query["symbols"], type=list[str])
            except msgspec.DecodeError:
                raise _RefusedError(-1100, "Illegal characters found in 'symbols'.") from None
            for name in names:
                self._market({"symbol": name})
        limit = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self._settings.weight_per_min,
        }
        return _json(
            {
                "timezone": "UTC",
                "serverTime": at_ms(self._now_ns()),
                "rateLimits": [limit],
                "exchangeFilters": [],
                "symbols": [_rules(name) for name in names],
            }
        )


def _weight(request: Request) -> int:
    if request.path == limits.DEPTH_PATH:
        return limits.depth_weight(_whole(request.query, "limit", 100, limits.DEPTH_LEVELS_MAX))
    return limits.WEIGHTS[request.path]


def _whole(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise _RefusedError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return min(int(text[:19]), most)


def _rules(symbol: str) -> dict[str, Any]:
    quote = next((name for name in _QUOTES if symbol.endswith(name) and symbol != name), "USDT")
    precision = dict.fromkeys(
        (
            *("baseAssetPrecision", "quotePrecision", "quoteAssetPrecision"),
            *("baseCommissionPrecision", "quoteCommissionPrecision"),
        ),
        8,
    )
    filters = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01000000",
            "maxPrice": "1000000.00000000",
            "tickSize": "0.01000000",
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": "0.00001000",
            "maxQty": "9000.00000000",
            "stepSize": "0.00001000",
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix(quote),
        "quoteAsset": quote,
        **precision,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _json(body: object) -> bytes:
    return msgspec.json.encode(body)
