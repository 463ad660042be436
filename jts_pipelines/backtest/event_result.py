"""What an event backtest found, as tables and one document."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl

from jts_pipelines.backtest.benchmark import Comparison
from jts_pipelines.backtest.cautions import Caution
from jts_pipelines.backtest.digests import Digests
from jts_pipelines.backtest.event_orders import OrderLine
from jts_pipelines.backtest.event_run import EventRun
from jts_pipelines.backtest.metrics import compute_metrics
from jts_pipelines.backtest.result import Metric, trade_table
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.slippage import slippage_of
from jts_trading.domain.journal_events import OrderFilled
from jts_trading.domain.orders import OrderSide, order_type
from jts_trading.domain.sessions import local_date
from storage.errors import InputError

_ZERO = Decimal(0)
NameOf = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class EventResult:
    """A finished event backtest.

    Attributes:
        run: What it is made of.
        orders: One row per order in the order of time: given_at, instrument, name, side,
            type, time_in_force, limit, stop, quantity, filled (of it), status (filled, denied,
            cancelled, expired or waiting), check and why of a denial, decided (newest price when
            it was given), filled_at (its last fill), price (mean of its fills), order_id.
        fills: One row per fill in the order of time, of an order one for each price: time,
            session, instrument, name, side, quantity, price, commission, tax, reason, trade,
            gross, order_id.
        trades: Round trips, see `result.trade_table`.
        equity: One row per session: session, cash, positions, equity, drawdown.
        metrics: See `metrics.DEFINITIONS`.
        denials: Orders that risk denied, by check.
        start_cash: In the account's currency.
        cautions: What a reader should know of the trades and quotes.
        comparisons: With benchmarks, where some were asked for.
        digests: What identifies the run, where somebody asked.
    """

    run: EventRun
    orders: pl.DataFrame
    fills: pl.DataFrame
    trades: pl.DataFrame
    equity: pl.DataFrame
    metrics: Mapping[str, Metric]
    denials: Mapping[str, int]
    start_cash: int
    cautions: tuple[Caution, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    digests: Digests | None = None

    @property
    def currency(self) -> str:
        """Of the account."""
        return self.run.spec.currency

    @property
    def final_equity(self) -> int | float:
        """Cash and positions after the last trade, in the account's currency."""
        found: int | float = self.equity["equity"][-1]
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of every order and of the equity of every session."""
        found = hashlib.sha256()
        for table in (self.orders, self.equity):
            found.update(table.write_csv().encode())
        return found.hexdigest()


def event_result(
    run: EventRun,
    settings: BacktestSettings,
    name_of: NameOf,
    cautions: tuple[Caution, ...] = (),
) -> EventResult:
    """Return the tables and figures of a run.

    Args:
        run: A finished one.
        settings: Its assumptions.
        name_of: What people call an instrument, by its id.
        cautions: What a reader should know of its trades and quotes.
    """
    is_whole = settings.terms.money_places == 0
    equity = _equity(run, settings, is_whole=is_whole)
    trips = _Trips(run.steps)
    fills = _fills(run, trips, name_of, is_whole=is_whole)
    marks = {name: _shown(price, is_whole=is_whole) for name, price in run.marks.items()}
    is_closed = pl.col("trade").is_in(trips.closed)
    trades = trade_table(fills, marks).with_columns(
        pl.when(is_closed).then(pl.lit("closed")).otherwise(pl.lit("open")).alias("status")
    )
    return EventResult(
        run=run,
        orders=_orders(run, name_of, is_whole=is_whole),
        fills=fills,
        trades=trades,
        equity=equity,
        metrics=compute_metrics(
            equity,
            trades,
            fills,
            start_cash=settings.cash,
            sessions_per_year=settings.year,
        ),
        denials=dict(sorted(Counter(line.check for line in run.orders if line.check).items())),
        start_cash=settings.cash,
        cautions=cautions,
    )


def first_denials(result: EventResult) -> list[tuple[str, int, str]]:
    """Return check, number of orders and reason of the first one for each check that denied."""
    denied = result.orders.filter(pl.col("check") != "")
    reasons = dict(denied.select("check", "why").reverse().rows())
    return [(check, count, reasons[check]) for check, count in result.denials.items()]


def write_tables(
    result: EventResult, directory: Path, fills_file: Path | None = None
) -> dict[str, str]:
    """Write every table as Parquet; return the files by name.

    Args:
        result: A finished run.
        directory: Where they go.
        fills_file: Where the fills go instead; .csv or .parquet.

    Raises:
        InputError: A file cannot be written.
    """
    written = {}
    for name in ("orders", "fills", "trades", "equity"):
        path = directory / f"{name}.parquet"
        if name == "fills" and fills_file is not None:
            path = fills_file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".csv":
                getattr(result, name).write_csv(path)
            else:
                getattr(result, name).write_parquet(path, compression="zstd")
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error}") from error
        written[f"{name}_file"] = str(path)
    return written


def event_document(
    result: EventResult, settings: BacktestSettings, page: Path | None = None
) -> dict[str, object]:
    """Return what `jts backtest --events --json` prints."""
    run, sessions = result.run, result.equity["session"]
    return {
        "strategy": run.plan.name,
        "kind": "events",
        "release": run.spec.release,
        "venue": settings.venue,
        "interval": run.spec.interval,
        "period": {"from": sessions[0], "to": sessions[-1], "sessions": len(sessions)},
        "instruments": len(run.spec.instrument_ids),
        "market_trades": run.trades,
        "bars": run.bars,
        "signals": run.signals,
        "outcomes": dict(run.outcomes.most_common()),
        "orders": result.orders.height,
        "denied": dict(result.denials),
        "is_latched": run.is_latched,
        "fills": result.fills.height,
        "trades": int((result.trades["status"] == "closed").sum()),
        "final_equity": result.final_equity,
        "metrics": dict(result.metrics),
        "slippage": slippage_of(result.orders)._asdict(),
        "benchmarks": [comparison.document() for comparison in result.comparisons],
        "warnings": [str(caution) for caution in result.cautions],
        "warning_codes": [caution.code.value for caution in result.cautions],
        **({} if result.digests is None else result.digests.document()),
        "result_digest": result.digest,
        "seconds": round(run.seconds, 3),
        "tearsheet": None if page is None else str(page),
    }


def _equity(run: EventRun, settings: BacktestSettings, *, is_whole: bool) -> pl.DataFrame:
    cash = [_shown(session.cash, is_whole=is_whole) for session in run.sessions]
    held = [_shown(session.positions, is_whole=is_whole) for session in run.sessions]
    equity = np.array(cash) + np.array(held)
    peak = np.maximum.accumulate(np.maximum(equity, settings.cash))
    return pl.DataFrame(
        {
            "session": pl.Series([session.day for session in run.sessions], dtype=pl.Date),
            "cash": cash,
            "positions": held,
            "equity": equity,
            "drawdown": equity / peak - 1.0,
        }
    )


def _orders(run: EventRun, name_of: NameOf, *, is_whole: bool) -> pl.DataFrame:
    number = pl.Int64 if is_whole else pl.Float64
    stamp = pl.Datetime("ns", "UTC")
    rows = [
        {
            "given_at": line.given_ns,
            "instrument": line.intent.instrument_id,
            "name": name_of(line.intent.instrument_id),
            "side": str(line.intent.side),
            "type": order_type(line.intent.price, line.intent.trigger),
            "time_in_force": line.intent.asked_force,
            "limit": _price(line.intent.price, is_whole=is_whole),
            "stop": _price(line.intent.trigger, is_whole=is_whole),
            "quantity": _shown(line.intent.quantity, is_whole=is_whole),
            "filled": _shown(line.filled, is_whole=is_whole),
            "status": line.status,
            "check": line.check,
            "why": line.reason,
            "decided": None if line.decided is None else float(line.decided),
            "filled_at": line.fills[-1].ts_event_ns if line.fills else None,
            "price": line.price,
            "order_id": line.intent.order_id,
        }
        for line in run.orders
    ]
    ids, kinds = ("instrument", "name", "side"), ("type", "time_in_force")
    return pl.DataFrame(
        rows,
        schema={
            "given_at": stamp,
            **dict.fromkeys((*ids, *kinds), pl.String),
            **dict.fromkeys(("limit", "stop", "quantity", "filled"), number),
            **dict.fromkeys(("status", "check", "why"), pl.String),
            "decided": pl.Float64,
            "filled_at": stamp,
            "price": pl.Float64,
            "order_id": pl.String,
        },
    )


class _Trips:
    """Numbers round trips by their purchases, and knows which have ended.

    A venue that keeps its commission in coins leaves less than can be sold: that is flat.
    """

    def __init__(self, steps: Mapping[str, Decimal]) -> None:
        self.closed: set[int] = set()
        self._steps = steps
        self._last = 0
        self._open: dict[str, int] = {}
        self._held: dict[str, Decimal] = {}

    def take(self, line: OrderLine, fill: OrderFilled) -> int:
        """Return the number of the round trip that a filled order belongs to."""
        name, is_buy = line.intent.instrument_id, line.intent.side is OrderSide.BUY
        if name not in self._open:
            self._last += 1
            self._open[name] = self._last
        number, before = self._open[name], self._held.get(name, _ZERO)
        change = fill.quantity if is_buy else -fill.quantity
        self._held[name] = before + change - fill.fee_quantity
        if self._held[name] < self._steps.get(name, Decimal(1)):
            self.closed.add(number)
            del self._open[name]
        return number


def _fills(run: EventRun, trips: _Trips, name_of: NameOf, *, is_whole: bool) -> pl.DataFrame:
    number = pl.Int64 if is_whole else pl.Float64
    rows = []
    made = [(fill, line) for line in run.orders for fill in line.fills]
    for fill, line in sorted(made, key=lambda each: int(each[0].trade_id[1:])):
        intent = line.intent
        # What the venue keeps in coins is worth as much of the currency at the price of the fill.
        commission = fill.fee + fill.fee_quantity * fill.price
        rows.append(
            {
                "time": datetime.fromtimestamp(fill.ts_event_ns / 1e9, UTC),
                "session": local_date(intent.venue, fill.ts_event_ns),
                "instrument": intent.instrument_id,
                "name": name_of(intent.instrument_id),
                "side": str(intent.side),
                "quantity": _shown(fill.quantity, is_whole=is_whole),
                "price": _shown(fill.price, is_whole=is_whole),
                "commission": _shown(commission, is_whole=is_whole),
                "tax": _shown(fill.tax, is_whole=is_whole),
                "reason": "exit" if intent.reduces else "entry",
                "trade": trips.take(line, fill),
                "gross": _shown(fill.price * fill.quantity, is_whole=is_whole),
                "order_id": intent.order_id,
            }
        )
    return pl.DataFrame(
        rows,
        schema={
            "time": pl.Datetime("ms", "UTC"),
            "session": pl.Date,
            **dict.fromkeys(("instrument", "name", "side"), pl.String),
            **dict.fromkeys(("quantity", "price", "commission", "tax"), number),
            "reason": pl.String,
            "trade": pl.Int64,
            "gross": number,
            "order_id": pl.String,
        },
    )


def _price(value: Decimal | None, *, is_whole: bool) -> int | float | None:
    return None if value is None else _shown(value, is_whole=is_whole)


def _shown(value: Decimal, *, is_whole: bool) -> int | float:
    return int(value) if is_whole else float(value)
