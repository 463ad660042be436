"""The demo's trading days without an instance: frames as an outsider, two ledgers, two days."""

import gzip
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from jts_pipelines.cli.demo_days import CAPTURES, binance_day, kis_day, trading_days
from jts_pipelines.cli.demo_frames import count_frames
from jts_pipelines.cli.demo_ledgers import (
    SimulatedLedger,
    SimulatedPosition,
    SimulatedRow,
    compare_ledgers,
)
from jts_pipelines.cli.demo_market_day import pace_of
from jts_pipelines.ingest.generated import minute_bars
from jts_pipelines.reports.daily_account import work_out
from jts_pipelines.reports.daily_records import (
    Account,
    DayRecords,
    Entry,
    Fill,
    Order,
    day_span,
)
from jts_trading.domain.orders import OrderSide
from jts_trading.market_store.frames import FrameKeeper
from jts_trading.market_store.segments import SegmentSettings
from storage.errors import InputError

MORNING_NS = 1_519_603_200 * 10**9


def test_frames_when_counted_from_the_files_then_are_all_that_were_kept(tmp_path: Path) -> None:
    """Packed and plain segments, two connections; the bytes are those off the socket."""
    keeper = FrameKeeper(tmp_path / "kis-1", SegmentSettings(segment_bytes=2_000))
    for number in range(100):
        keeper.keep(b"x" * number, 1 + number // 60, MORNING_NS + number)
    keeper.compact()

    found = count_frames(tmp_path / "kis-1")
    keeper.close()

    assert found is not None
    assert (found.frames, found.bytes, found.sessions) == (100, sum(range(100)), 2)
    assert (found.first_ns, found.last_ns) == (MORNING_NS, MORNING_NS + 99)
    assert len(list((tmp_path / "kis-1").glob("*.zst"))) > 1
    assert count_frames(tmp_path / "none") is None


def test_frames_when_a_byte_was_changed_then_the_record_is_named(tmp_path: Path) -> None:
    """What an outsider counts is what was kept, or nothing."""
    keeper = FrameKeeper(tmp_path / "kis-1")
    for number in range(3):
        keeper.keep(b"frame", 1, number)
    keeper.close()
    (log,) = (tmp_path / "kis-1").glob("*.log")
    content = bytearray(log.read_bytes())
    content[-1] ^= 1
    log.write_bytes(content)

    with pytest.raises(InputError, match="record 3 is damaged"):
        count_frames(tmp_path / "kis-1")


def test_frames_when_the_last_record_is_half_written_then_it_does_not_count(
    tmp_path: Path,
) -> None:
    """The writer may be in the middle of it."""
    keeper = FrameKeeper(tmp_path / "kis-1")
    for number in range(3):
        keeper.keep(b"frame", 1, number)
    keeper.close()
    (log,) = (tmp_path / "kis-1").glob("*.log")
    log.write_bytes(log.read_bytes()[:-2])

    found = count_frames(tmp_path / "kis-1")

    assert found is not None
    assert found.frames == 2


def test_kis_day_when_the_newest_session_is_cut_then_takes_the_newest_full_one(
    tmp_path: Path,
) -> None:
    """Fast from its open to shortly after its close, on the simulator's own files."""
    bars = minute_bars(seed=1, first=date(2018, 2, 22), last=date(2018, 2, 26))
    file = tmp_path / "minutes.parquet"
    bars.head(bars.height - 10).write_parquet(file)

    day = kis_day(file, tmp_path)

    assert day.day == date(2018, 2, 23)
    assert day.begins.isoformat() == "2018-02-23T09:00:00+09:00"
    assert day.ends.isoformat() == "2018-02-23T15:32:00+09:00"
    assert day.variables["JTS_SIM__KIS__DAY"] == "2018-02-23"
    assert day.variables["JTS_SIM__KIS__DATA"] == str(tmp_path)
    assert day.market_minutes == 392


def test_kis_day_when_no_session_is_full_then_is_refused(tmp_path: Path) -> None:
    """Half a session is no day."""
    file = tmp_path / "minutes.parquet"
    first = date(2018, 2, 26)
    minute_bars(seed=1, first=first, last=first).head(100).write_parquet(file)

    with pytest.raises(InputError, match="no session lasts"):
        kis_day(file, tmp_path)


def test_binance_day_when_there_is_a_capture_then_spans_its_files(tmp_path: Path) -> None:
    """From the first line of the first file to the last line of the last one; a day in Korea."""
    folder = tmp_path / CAPTURES
    folder.mkdir(parents=True)
    captured = {"08": (1_723_161_253_100, 1_723_161_300_000), "09": (1_723_161_904_200,)}
    for name, stamps_ms in captured.items():
        with gzip.open(folder / f"spot_btcusdt_202408{name}.jsonl.gz", "wt") as lines:
            lines.writelines(f"{stamp}000000 {{}}\n" for stamp in stamps_ms)

    minutes = tmp_path / "minutes.parquet"
    minute_bars(seed=1, first=date(2018, 2, 26), last=date(2018, 2, 26)).write_parquet(minutes)
    _, day = trading_days(minutes, tmp_path)

    assert day.begins == datetime(2024, 8, 8, 23, 54, 13, tzinfo=UTC)
    assert day.ends == datetime(2024, 8, 9, 0, 5, 35, tzinfo=UTC)
    assert day.day == date(2024, 8, 9)
    assert "JTS_SIM__BINANCE__DATA" in day.variables


def test_binance_day_when_there_is_none_then_the_simulator_makes_trades_up(
    tmp_path: Path,
) -> None:
    """Generated data has a day too."""
    day = binance_day(tmp_path, {"A": "b"})

    assert day.market_minutes == 11
    assert day.variables == {"A": "b"}


def test_day_when_the_clock_is_fast_then_kis_counts_calls_by_that_clock(tmp_path: Path) -> None:
    """Two calls in a second of the market are 480 in one of ours; counted by ours, orders wait."""
    first = date(2018, 2, 26)
    file = tmp_path / "minutes.parquet"
    minute_bars(seed=1, first=first, last=first).write_parquet(file)
    day = kis_day(file, tmp_path)

    fast, slow = day.environment, replace(day, speed=80.0).environment

    assert fast["JTS_SIM__KIS__DAY"] == "2018-02-26"
    assert fast["JTS_SIM__BINANCE__UNTIL_NS"] == "1723161913000000000"
    assert fast["JTS_SIM__KIS__CALLS_PER_S"] == "480"
    assert fast["JTS_SIM__KIS__LEDGER_CALLS_PER_S"] == "240"
    assert slow["JTS_SIM__KIS__CALLS_PER_S"] == "160"


def test_pace_when_the_machine_is_busy_then_gives_more_time_and_a_slower_clock() -> None:
    """A fresh machine keeps the wanted speed; nothing grows without bound."""
    quiet, busy, hung = pace_of(4.0), pace_of(15.0), pace_of(600.0)

    assert (quiet.margin_s, quiet.allowance_s, quiet.speed(240.0)) == (20.0, 2.0, 240.0)
    assert (busy.margin_s, busy.allowance_s, busy.speed(240.0)) == (40.0, 4.0, 120.0)
    assert (hung.margin_s, hung.allowance_s, hung.speed(240.0)) == (150.0, 8.0, 80.0)


BUY, SELL = OrderSide.BUY, OrderSide.SELL


def _fill(seq: int, order: str, side: OrderSide, quantity: int, fee: int) -> Fill:
    return Fill(
        trade_id=f"20180226-{seq}", order_id=order, instance="sma", instrument_id="KRX:005930",
        venue="KRX", side=side, quantity=Decimal(quantity), price=Decimal(1000),
        gross=Decimal(1000 * quantity), fee=Decimal(fee), tax=Decimal(0),
        fee_quantity=Decimal(0), ts_ns=MORNING_NS, seq=seq,
    )  # fmt: skip


def _records(*fills: Fill) -> DayRecords:
    """A deposit of 100,000 won, and fills that the ledger booked."""
    entries: list[Entry] = []
    for fill in fills:
        sign = 1 if fill.side is BUY else -1
        lines = {
            "cash": -sign * fill.gross - fill.fee - fill.tax, "position": sign * fill.gross,
            "fees": fill.fee, "tax": fill.tax,
        }  # fmt: skip
        entries += [
            Entry(
                ledger=name, instance="sma", amount=amount, seq=fill.seq, ts_ns=fill.ts_ns,
                instrument_id="KRX:005930" if name == "position" else "", type="order_filled",
                quantity=sign * fill.quantity if name == "position" else Decimal(0),
            )
            for name, amount in lines.items() if amount
        ]  # fmt: skip
    orders = [
        Order(
            order_id=name, instance="sma", release="r", instrument_id="KRX:005930", venue="KRX",
            side=BUY, quantity=Decimal(3), price=None, status="filled", filled=Decimal(3),
            reason="", attempt=1, venue_order_id=f"20180226-00950-{name}", created_ns=0,
            updated_ns=0, decision_id="d", correlation_id="c",
        )
        for name in dict.fromkeys(fill.order_id for fill in fills)
    ]  # fmt: skip
    deposit = [
        Entry(
            ledger=name, instance="", instrument_id="", amount=Decimal(amount),
            quantity=Decimal(0),
        )
        for name, amount in (("cash", 100_000), ("capital", -100_000))
    ]  # fmt: skip
    return DayRecords(
        account=Account("kis", "50000001-01", "KRW"), span=day_span(date(2018, 2, 26)),
        opening=deposit, entries=entries, booked=fills, orders=orders, fills=fills, signals={},
        decisions={}, denied={}, notes=[], gaps=[], prices={}, imbalances=[], names={},
    )  # fmt: skip


def _row(sequence: int, order: str, side: str, quantity: int, fee: int) -> SimulatedRow:
    return SimulatedRow(
        sequence=sequence, order_no=order, symbol="005930", side=side, quantity=quantity,
        price=1000, gross=1000 * quantity, commission=fee, tax=0,
    )  # fmt: skip


def _simulated(*rows: SimulatedRow, cash: int = 96_997, costs: int = 3) -> SimulatedLedger:
    held = SimulatedPosition(quantity=3, cost=3000)
    return SimulatedLedger(
        deposit=100_000, cash=cash, costs=costs, realised=0, is_balanced=True, rows=rows,
        positions={"005930": held},
    )  # fmt: skip


def _compare(theirs: SimulatedLedger, *fills: Fill) -> list[str]:
    records = _records(*fills)
    return compare_ledgers(theirs, records, work_out(records))


def test_ledgers_when_equal_then_nothing_differs() -> None:
    """Fill by fill; one of ours may be the exact sum of several of the simulator's."""
    single = (_row(1, "7", "BUY", 1, 1), _row(2, "7", "BUY", 2, 2))

    assert _compare(_simulated(*single), _fill(1, "7", BUY, 1, 1), _fill(2, "7", BUY, 2, 2)) == []
    assert _compare(_simulated(*single), _fill(1, "7", BUY, 3, 3)) == []


def test_ledgers_when_one_won_differs_then_row_and_sum_say_so() -> None:
    """A fee that was rounded the other way is seen in the row, in cash and in costs."""
    found = _compare(_simulated(_row(1, "7", "BUY", 3, 3)), _fill(1, "7", BUY, 3, 4))

    assert len(found) == 3
    assert found[0] == "cash: 96,996 in the journal, 96,997 in the simulator"
    assert found[2].startswith("order 7: 20180226-1 is buy 3 3,000 4 0, the simulator has buy 3")


def test_ledgers_when_a_fill_is_missing_on_either_side_then_it_is_named() -> None:
    """A fill that nobody booked, and one that nobody traded."""
    rows = (_row(1, "7", "BUY", 3, 3), _row(2, "8", "SELL", 1, 1))

    found = _compare(_simulated(*rows), _fill(1, "7", BUY, 3, 3))
    other = _compare(_simulated(_row(1, "7", "BUY", 3, 3)), _fill(1, "7", BUY, 3, 3),
                     _fill(2, "9", SELL, 1, 1))  # fmt: skip

    assert found == ["order 8: 1 fills of the simulator are not in the journal"]
    assert any(line.startswith("order 9: 20180226-2 is sell 1") for line in other)
