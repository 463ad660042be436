"""What identifies a run by events: equal digests mean equal results.

The engine that trades live has no list of the functions that a run goes through, so all of the
floors that it stands on count: a change anywhere there may be a change of results.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np

import jts_pipelines
import jts_trading
from jts_pipelines.backtest.digests import Digests, code_digest, params_digest
from jts_pipelines.backtest.event_trades import TradeStream
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.dsl.plan import Plan
from jts_trading.execution.fill_costs import Listed

_FLOORS = (
    *("domain", "dsl", "engine", "execution", "indicators", "kernels", "portfolio", "risk"),
    "strategy",
)


def event_digests(
    plan: Plan,
    stream: TradeStream,
    settings: BacktestSettings,
    limits: RiskLimits,
    listed: Callable[[str], Listed],
) -> Digests:
    """Return the digests of a run by events.

    Args:
        plan: Of the strategy.
        stream: The trades.
        settings: Cash, sizes and venue.
        limits: Of the account.
        listed: Market and kind of an instrument.
    """
    config = f"{settings.digest}\0{msgspec.json.encode(limits, order='sorted').decode()}"
    return Digests(
        data=_data_digest(stream, listed),
        code=code_digest(plan),
        params=params_digest(plan),
        config=hashlib.sha256(config.encode()).hexdigest(),
        engine=live_digest(),
    )


@cache
def live_digest() -> str:
    """Return the SHA-256 of everything that decides how trades become orders and fills."""
    trading, pipelines = (
        Path(str(module.__file__)).parent for module in (jts_trading, jts_pipelines)
    )
    folders = (*(trading / name for name in _FLOORS), pipelines / "backtest")
    found = hashlib.sha256(version("numba").encode())
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".csv"}:
                found.update(f"\0{folder.name}/{path.relative_to(folder)}\0".encode())
                found.update(path.read_bytes())
    return found.hexdigest()


def stream_digest(stream: TradeStream) -> str:
    """Return the SHA-256 of trades, and of the books beside them."""
    found = hashlib.sha256("\x1f".join(stream.ids).encode())
    for values, which in (stream.prices, stream.quantities):
        found.update("\x1f".join(map(str, values)).encode())
        found.update(np.ascontiguousarray(which, "<i8").data)
    for column in (stream.at, stream.dated, stream.which):
        found.update(np.ascontiguousarray(column, "<i8").data)
    if stream.books is not None:
        books, placed = stream.books
        found.update(np.ascontiguousarray(placed, "<i8").data)
        for numbers in (*books.asks, *books.bids):
            found.update(np.ascontiguousarray(numbers, "<f8").data)
    return found.hexdigest()


def _data_digest(stream: TradeStream, listed: Callable[[str], Listed]) -> str:
    """Return the digest of all data that a result depends on: taxes follow from the listing."""
    found = hashlib.sha256(bytes.fromhex(stream_digest(stream)))
    for name in stream.ids:
        found.update(f"\x1f{listed(name)}".encode())
    if stream.quotes is not None:
        found.update("\x1f".join(map(str, stream.quotes)).encode())
    if stream.reached is not None:
        found.update("\x1f".join(map(str, stream.reached[0])).encode())
        found.update(np.ascontiguousarray(stream.reached[1], "<i8").data)
    if stream.connections is not None:
        found.update(np.ascontiguousarray(stream.connections, "<i8").data)
    return found.hexdigest()
