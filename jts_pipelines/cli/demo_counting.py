"""What an outsider counts of a traded day: files, lake, bus, ledger, the simulator's books.

Nothing is asked of the roles. The ledger is compared with the simulator's to the unit, fill by
fill: the simulator is a program of its own that knows nothing of the journal.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import polars as pl

from jts_pipelines.cli.demo_frames import count_frames
from jts_pipelines.cli.demo_ledgers import SimulatedLedger, compare_ledgers
from jts_pipelines.defs.joint import ask_bus
from jts_pipelines.reports.daily import accounts_of
from jts_pipelines.reports.daily_account import work_out
from jts_pipelines.reports.daily_checks import LEDGER, statements
from jts_pipelines.reports.daily_gathering import gather
from jts_pipelines.reports.daily_records import DayRecords
from jts_trading.domain.orders import OrderState

if TYPE_CHECKING:
    from jts_pipelines.cli.demo_market_day import TradingDay
    from jts_pipelines.defs.house import House

_TIMEOUT_S = 10.0
_RESTING = (OrderState.OPEN, OrderState.PARTIAL)


class PaperDay(msgspec.Struct, frozen=True, kw_only=True):
    """A traded day, counted from outside.

    Attributes:
        day: In Korea.
        frames: Raw frames that are kept, each off a TCP socket.
        frame_bytes: Their bytes.
        ticks: Trades recorded in the lake.
        bars: Bars that the trader closed.
        signals: Rules that fired, recorded in the lake.
        denied: Orders that risk refused.
        resting: Orders that the broker has and may still fill.
        unknown: Orders in doubt.
        cash: Of the account in the ledger; a whole number in won.
        equity: Cash and positions at the last price.
        currency: Of both.
        ledger_balanced: Every statement of the ledger holds, and at KIS it equals the simulator's
            own ledger, fill by fill, to the won.
        problems: One line for whatever does not hold.
    """

    day: str
    currency: str
    frames: int
    frame_bytes: int
    ticks: int
    bars: int
    signals: int
    orders: int
    denied: int
    resting: int
    fills: int
    unknown: int
    cash: int | float
    equity: int | float
    realised: int | float
    costs: int | float
    ledger_balanced: bool
    problems: tuple[str, ...] = ()


def count_day(house: "House", day: "TradingDay", instances: Sequence[str]) -> PaperDay:
    """Count a day that has come to rest; the simulator must still run.

    Raises:
        StorageError: A store does not answer.
        InputError: The kept frames are damaged.
    """
    kept = count_frames(house.root / "trading" / "frames" / day.feed)
    records = _records(house, day)
    account = work_out(records)
    said = statements(records, account)
    problems = [f"{each.name}: {each.found}" for each in said if not each.holds]
    is_balanced = all(each.holds for each in said if each.group == LEDGER)
    if day.broker == "kis":
        differences = compare_ledgers(_simulated(house), records, account)
        problems += differences
        is_balanced = is_balanced and not differences
    counted = PaperDay(
        day=day.day.isoformat(),
        currency=records.account.currency,
        frames=kept.frames if kept else 0,
        frame_bytes=kept.bytes if kept else 0,
        ticks=_ticks(house, day),
        bars=_bars(house, day),
        signals=_signals(house, day, instances),
        orders=len(records.orders),
        denied=sum(order.status == "denied" for order in records.orders),
        resting=sum(order.status in _RESTING for order in records.orders),
        fills=len(records.fills),
        unknown=sum(order.status == "unknown" for order in records.orders),
        cash=_number(account.closing.cash),
        equity=_number(account.closing_equity),
        realised=_number(account.realised),
        costs=_number(account.fees + account.tax),
        ledger_balanced=is_balanced,
    )
    empty = [
        f"no {name} on the day"
        for name in ("frames", "ticks", "bars", "signals", "orders", "fills")
        if getattr(counted, name) == 0
    ]
    return msgspec.structs.replace(counted, problems=(*problems, *empty))


def _records(house: "House", day: "TradingDay") -> DayRecords:
    """Read the day of the one account through which the broker trades."""
    with house.ledger() as ledger, house.lake() as lake:
        accounts = [each for each in accounts_of(ledger) if each.broker == day.broker]
        return gather(ledger, lake, accounts[0], day.day, {})


def _ticks(house: "House", day: "TradingDay") -> int:
    with house.lake() as lake:
        return int(lake.scan("ticks", venue=day.venue).select(pl.len()).collect().item())


def _bars(house: "House", day: "TradingDay") -> int:
    topic = day.topic.replace(".ticks", ".candles")
    return ask_bus(house, lambda bus: bus.length(topic))


def _signals(house: "House", day: "TradingDay", instances: Sequence[str]) -> int:
    with house.lake() as lake:
        signals = lake.scan("signals", venue=day.venue)
        own = signals.filter(pl.col("instance").is_in(list(instances)))
        return int(own.select(pl.len()).collect().item())


def _simulated(house: "House") -> SimulatedLedger:
    """Ask the simulated KIS for its own books."""
    port = house.settings.instance.port("sim_kis_rest")
    # A proxy of the environment is for the world outside.
    answer = httpx.get(
        f"http://127.0.0.1:{port}/_simulator/ledger", timeout=_TIMEOUT_S, trust_env=False
    )
    answer.raise_for_status()
    return msgspec.json.decode(answer.content, type=SimulatedLedger)


def _number(amount: Decimal) -> Any:
    """Return an amount as JSON has numbers: whole ones whole, others as they are."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)
