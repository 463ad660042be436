"""Trades in order of time, as entries of a feed: recorded ones, or those that bars stand for.

A bar becomes its open twice, its low and high (the one that is further from the close first) and
its close, inside its interval. The open comes when the clock has closed the bar before: then the
bars of all instruments have closed together, and what was decided on them meets the open. An order
that the first trade of a session brings about meets the second one, of the same price. Nothing is
known of the order of trades inside a bar: where an order waits for its price, trades say more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.quote_levels import Book, Books, exact, plain
from jts_pipelines.backtest.tick_bars import LINEAGE, in_arrival
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.engine.state import EngineSettings
from jts_trading.strategy.frames import interval_seconds
from storage.schema.datasets import Status

BATCH = 64
_ZERO = Decimal(0)
_NS_PER_MS = 1_000_000
_AFTER_CLOCK_NS = EngineSettings().grace_ns + _NS_PER_MS
_UNITS = 10**8
_WHOLE = ("KRX", "NXT")
_TRADED = (Status.TRADED.value, Status.AUCTION.value)


@dataclass(frozen=True, slots=True)
class TradeStream:
    """Trades as columns, by time; those of one instant by instrument.

    Attributes:
        ids: Instrument ids.
        at: When each was known, UTC ns.
        dated: When it was by the venue, UTC ns.
        which: Index into the ids.
        prices, quantities: Distinct numbers, and the place of that of each trade.
        quotes: Best bid and ask after each trade, where they are known.
        reached: Quantity of the day with each trade, like the prices, where it was recorded.
        connections: Number of the connection that each came through, likewise.
        books: That are known with their quantities, and the row of that of each trade; -1 where
            there is none.
    """

    venue: str
    broker: str
    ids: tuple[str, ...]
    at: Ints
    dated: Ints
    which: Ints
    prices: tuple[tuple[Decimal, ...], Ints]
    quantities: tuple[tuple[Decimal, ...], Ints]
    quotes: tuple[tuple[Decimal | None, Decimal | None], ...] | None = None
    reached: tuple[tuple[Decimal, ...], Ints] | None = None
    connections: Ints | None = None
    books: tuple[Books, Ints] | None = None

    def __len__(self) -> int:
        return len(self.at)

    def entry(self, first: int, end: int) -> TicksCollected:
        """Return some trades as one entry of the feed, through the connection of the first."""
        return TicksCollected(
            feed=f"{self.broker}-1",
            session=1 if self.connections is None else int(self.connections[first]),
            first_frame=first,
            first_tick=first,
            ticks=tuple(self._tick(at) for at in range(first, end)),
            frames=tuple(range(end - first)),
        )

    def book(self, at: int) -> Book | None:
        """Return the book that was known at a trade; None where there is none."""
        if self.books is None or self.books[1][at] < 0:
            return None
        return self.books[0].at(int(self.books[1][at]))

    def _tick(self, at: int) -> TradeTick:
        quotes, reached = self.quotes, self.reached
        bid, ask = (None, None) if quotes is None else quotes[at]
        return TradeTick(
            instrument_id=self.ids[self.which[at]],
            venue=self.venue,
            broker=self.broker,
            ts_event_ns=int(self.dated[at]),
            ts_recv_ns=int(self.at[at]),
            price=self.prices[0][self.prices[1][at]],
            quantity=self.quantities[0][self.quantities[1][at]],
            aggressor=Aggressor.UNKNOWN,
            cumulative_quantity=_ZERO if reached is None else reached[0][reached[1][at]],
            bid=bid,
            ask=ask,
        )


def stream_of_trades(
    trades: pl.DataFrame,
    ids: Mapping[str, str],
    venue: str,
    broker: str,
    *,
    by_arrival: bool = False,
    books: Books | None = None,
) -> TradeStream:
    """Return checked trades (`tick_bars.checked_trades`) as a stream.

    Args:
        trades: `symbol`, `at` (UTC ns), `price`, `quantity` in hundred-millionths; `bid`, `ask`.
        ids: Instrument id of each symbol.
        venue: Where they trade.
        broker: Through whom orders go.
        by_arrival: As they were recorded (`received`, `feed`, `tick`), so as the trader saw them;
            else each is known at its own time.
        books: That `quoted` of the trades numbers.
    """
    ordered = in_arrival(trades) if by_arrival else _in_time(trades)
    has_quotes = {"bid", "ask"} <= set(trades.columns)
    quotes = _quotes(ordered) if has_quotes else None
    placed = None
    if books is not None:
        placed = books, ordered["quoted"].cast(pl.Int64).fill_null(-1).to_numpy()
    stream = _stream(ordered, ids, venue, broker, quotes=quotes, books=placed)
    if not (by_arrival and set(LINEAGE) <= set(trades.columns)):
        return stream
    connections = ordered.select(pl.struct("feed", "session").rank("dense")).to_series()
    reached = _distinct(ordered["cumulative"])
    return replace(stream, reached=reached, connections=connections.to_numpy().astype(np.int64))


def stream_of_bars(
    bars: pl.DataFrame, ids: Mapping[str, str], interval: str, venue: str, broker: str
) -> TradeStream:
    """Return the trades that bars stand for; bars in which nothing traded have none.

    Args:
        bars: See `bar_table`.
        ids: Instrument id of each symbol.
        interval: Of the bars.
        venue: Where they trade.
        broker: Through whom orders go.
    """
    is_traded = pl.min_horizontal("open", "high", "low", "close", "volume") > 0
    if "status" in bars.columns:
        is_traded &= pl.col("status").cast(pl.String).is_in(_TRADED)
    scale = _UNITS if venue in _WHOLE else 1
    is_up = pl.col("close") >= pl.col("open")
    kept = bars.filter(is_traded.fill_null(value=False)).select(
        "symbol",
        "open",
        "close",
        pl.when(is_up).then("low").otherwise("high").alias("near"),
        pl.when(is_up).then("high").otherwise("low").alias("far"),
        (pl.col("timestamp").dt.epoch("ms") * _NS_PER_MS).alias("start"),
        (pl.col("volume").cast(pl.Float64) * (_UNITS // scale))
        .round()
        .cast(pl.Int64)
        .alias("units"),
    )
    step = interval_seconds(interval) * 1_000 * _NS_PER_MS
    opened = _AFTER_CLOCK_NS if step > 4 * _AFTER_CLOCK_NS else 0
    prints = (
        # A bar of few shares has fewer trades; the last number says which go first.
        (pl.col("open"), opened, 0),
        (pl.col("open"), opened + _NS_PER_MS, 4),
        (pl.col("near"), step // 3, 3),
        (pl.col("far"), step * 2 // 3, 2),
        (pl.col("close"), step - _NS_PER_MS, 1),
    )
    parts = [
        kept.select(
            "symbol",
            (pl.col("start") + after).alias("at"),
            price.alias("price"),
            ((pl.col("units") + 4 - place) // 5 * scale).alias("quantity"),
        )
        for price, after, place in prints
    ]
    trades = _in_time(pl.concat(parts).filter(pl.col("quantity") > 0))
    return _stream(trades, ids, venue, broker)


def _in_time(trades: pl.DataFrame) -> pl.DataFrame:
    """Return trades in order of their time, at which they are known."""
    return trades.sort("at", "symbol", maintain_order=True).with_columns(known="at")


def _stream(
    ordered: pl.DataFrame,
    ids: Mapping[str, str],
    venue: str,
    broker: str,
    *,
    quotes: tuple[tuple[Decimal | None, Decimal | None], ...] | None = None,
    books: tuple[Books, Ints] | None = None,
) -> TradeStream:
    symbols = sorted(ordered["symbol"].unique())
    place = {symbol: at for at, symbol in enumerate(symbols)}
    which = ordered["symbol"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    return TradeStream(
        venue=venue,
        broker=broker,
        ids=tuple(ids[symbol] for symbol in symbols),
        at=ordered["known"].to_numpy(),
        dated=ordered["at"].to_numpy(),
        which=which,
        prices=_distinct(ordered["price"]),
        quantities=_distinct(ordered["quantity"], Decimal(1).scaleb(-8)),
        quotes=quotes,
        books=books,
    )


def _distinct(column: pl.Series, unit: Decimal = Decimal(1)) -> tuple[tuple[Decimal, ...], Ints]:
    found, place = np.unique(column.cast(pl.Float64).to_numpy(), return_inverse=True)
    return tuple(plain(exact(value) * unit) for value in found.tolist()), place


def _quotes(trades: pl.DataFrame) -> tuple[tuple[Decimal | None, Decimal | None], ...]:
    sides = trades.select(pl.col("bid", "ask").cast(pl.Float64)).rows()
    return tuple((_known(bid), _known(ask)) for bid, ask in sides)


def _known(value: float | None) -> Decimal | None:
    return None if value is None else exact(value)
