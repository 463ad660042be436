"""What an operator asks: orders, positions, ledger, chains, why, and the kill switch."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click.testing
import msgspec
import polars as pl
import psycopg
import pytest

from jts_trading.bus.redis_state import RedisState
from jts_trading.commands.journal import journal
from jts_trading.commands.kill import kill, unkill
from jts_trading.commands.ledger import ledger
from jts_trading.commands.orders import orders
from jts_trading.commands.positions import positions
from jts_trading.commands.why import why
from jts_trading.domain.feed_messages import PriceNote
from jts_trading.domain.journal_events import (
    AttemptStarted,
    CashMoved,
    DecisionRecorded,
    IntentRecorded,
    NoteRecorded,
    OrderAcknowledged,
    OrderDenied,
    OrderFilled,
    SignalRecorded,
    StrategyReleased,
)
from jts_trading.domain.orders import OrderIntent, OrderSide, Reservation
from jts_trading.guards.kill_switch import KillLevel, KillSwitch
from jts_trading.journal.connection import Database
from jts_trading.journal.outbox import PostgresOutbox
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.market_store.frames import FrameKeeper
from jts_trading.ports.journal import Fact
from jts_trading.ports.state import Kind
from jts_trading.telemetry import console
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration
OWNER = {"broker": "kis", "account": "5000000101", "instance": "sma"}
AT_NS = int(datetime(2018, 2, 26, 0, 31, 5, tzinfo=UTC).timestamp()) * 10**9  # 09:31:05 in Korea
BAR_NS = AT_NS - 65 * 10**9
ORDER = str(uuid.UUID("0a1b2c3d-0000-5000-8000-000000000001"))
DENIED = str(uuid.UUID("0a1b9999-0000-5000-8000-000000000002"))
DECISION = "d-1"
RAW = b"0|H0STCNT0|001|005930^093105^47000^2^100^0.21^47000.00^46900^47100^46800"
VALUES = [
    {
        "rule": 0,
        "text": "sma(5) crosses above sma(20)",
        "value": True,
        "before": False,
        "children": [{"text": "sma(5)", "value": 46_990.5}, {"text": "sma(20)", "value": 46_980}],
    }
]


@dataclass
class Console:
    """Runs commands of one home."""

    home: Path
    dsn: str

    def run(self, command: click.Command, *words: str) -> tuple[int, str]:
        """Run a command as the program does; return exit code and what it printed."""
        runner = click.testing.CliRunner()
        result = runner.invoke(command, words, standalone_mode=False)
        if result.exception is not None:
            code = console.exit_code_of(result.exception)
            assert code is not None, result.exception
            return code, str(result.exception)
        return result.return_value or 0, result.stdout

    def ask(self, command: click.Command, *words: str, code: int = 0) -> Any:
        """Run a command with --json and return its document."""
        found, printed = self.run(command, *words, "--json")
        assert found == code, printed
        return json.loads(printed)


@pytest.fixture
def desk(
    postgres_dsn: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Console:
    """A home with a ledger in which an order was bought in two fills and another was denied."""
    migrate(libpq_url(postgres_dsn))
    monkeypatch.setenv("JTS_HOME", str(tmp_path))
    monkeypatch.setenv("JTS_POSTGRES__DSN", postgres_dsn)
    monkeypatch.setenv("JTS_REDIS__DSN", redis_url)
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reference").mkdir()
    pl.DataFrame(
        {"ticker": ["005930"], "name": ["삼성전자"], "market": ["KOSPI"], "asset_type": ["COMMON"]}
    ).write_parquet(tmp_path / "reference" / "instruments.parquet")
    keeper = FrameKeeper(tmp_path / "trading" / "frames" / "kis-1")
    for number in range(1, 4):
        keeper.keep(RAW + str(number).encode(), 1, AT_NS + number)
    keeper.close()
    asyncio.run(_fill(postgres_dsn))
    return Console(tmp_path, postgres_dsn)


PRICES = {"price": Decimal(47_300), "trigger": Decimal(47_200), "is_renewed": True}


def _intent(order_id: str, decision_id: str, **prices: Any) -> IntentRecorded:
    intent = OrderIntent(
        order_id=order_id,
        instrument_id="KRX:005930",
        venue="KRX",
        side=OrderSide.BUY,
        quantity=Decimal(10),
        currency="KRW",
        release="SMA@1a2b",
        decision_id=decision_id,
        valid_until_ns=AT_NS + 10**10,
        **OWNER,
        **prices,
    )
    return IntentRecorded(
        intent=intent, reservation=Reservation(asset="KRW", amount=Decimal(611_086))
    )


def _decision(decision_id: str, outcome: str, bar_ns: int = BAR_NS) -> DecisionRecorded:
    return DecisionRecorded(
        decision_id=decision_id,
        instance="sma",
        release="SMA@1a2b",
        instrument_id="KRX:005930",
        venue="KRX",
        interval="1m",
        bar_start_ns=bar_ns,
        decided_ns=AT_NS,
        price=Decimal(47_000),
        fired=1,
        outcome=outcome,
        values=msgspec.json.encode(VALUES).decode(),
        bar='{"open":"46900","close":"47000","feed":"kis-1","last_tick":77}',
        equity=Decimal(10_000_000),
        triggered_ns=AT_NS,
    )


def _signal() -> SignalRecorded:
    return SignalRecorded(
        signal_id="s-1",
        decision_id=DECISION,
        instance="sma",
        release="SMA@1a2b",
        instrument_id="KRX:005930",
        venue="KRX",
        interval="1m",
        bar_start_ns=BAR_NS,
        decided_ns=AT_NS,
        rule=0,
        kind="entry",
        side=OrderSide.BUY,
        price=Decimal(47_000),
        condition="sma(5) crosses above sma(20)",
    )


def _notes() -> list[NoteRecorded]:
    verdict = {
        "order_id": ORDER,
        "is_allowed": True,
        "check": "",
        "reason": "",
        "limits_version": 3,
        "findings": [{"check": "R01", "is_passed": True, "figures": {"value": "470000"}}],
    }
    sent = {"client_order_id": "c-1", "latency_ms": 3.25, "outcome": "acknowledged"}
    return [
        NoteRecorded(topic="risk_verdict", subject=ORDER, body=json.dumps(verdict)),
        NoteRecorded(topic="order_sent", subject=ORDER, body=json.dumps(sent)),
        NoteRecorded(topic="risk_verdict", subject="another", body="{}"),
    ]


def _trade(number: int, quantity: int, price: int, fee: int) -> OrderFilled:
    return OrderFilled(
        order_id=ORDER,
        trade_id=f"20180226-0000000001-{number}",
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        ts_event_ns=AT_NS + 10**9,
    )


async def _fill(dsn: str) -> None:
    database, leases = Database(dsn), Database(dsn)
    book = PostgresJournal(database, "trader")

    def fact(event: Any, correlation: str = "kis-1:2") -> Fact:
        return Fact(event, ts_ns=AT_NS, correlation_id=correlation)

    lease = await PostgresOutbox(leases).acquire_lease("sender", "test", 60)
    assert lease is not None
    cash = CashMoved(currency="KRW", amount=Decimal(10_000_000), reason="opening", **OWNER)
    released = StrategyReleased(
        strategy_id=str(uuid.UUID(int=9)),
        name="SMA",
        dsl_code="",
        status="active",
        release="SMA@1a2b",
    )
    await book.record_event([fact(cash, ""), fact(released, "")])
    await book.record_event([fact(_decision(DECISION, "ordered")), fact(_signal())])
    await book.record_intent([fact(_intent(ORDER, DECISION))])
    await book.record_event([fact(note) for note in _notes()])
    attempt = AttemptStarted(
        order_id=ORDER,
        client_order_id="c-1",
        attempt=1,
        payload_hash="ab",
        lease="sender",
        token=lease.token,
        quantity=Decimal(10),
    )
    await book.record_attempt(fact(attempt))
    acknowledged = OrderAcknowledged(
        order_id=ORDER, attempt=1, venue_order_id="20180226-06010-0000000001"
    )
    await book.record_event([fact(acknowledged), fact(_trade(4, 4, 47_000, 26))])
    await book.record_event([fact(_trade(10, 6, 47_100, 39))])
    held = _decision("d-2", "position held", BAR_NS + 60 * 10**9)
    await book.record_event([fact(held, "kis-1:3")])
    await book.record_intent([fact(_intent(DENIED, "d-3", **PRICES), "kis-1:99")])
    refused = OrderDenied(order_id=DENIED, check="R03", reason="R03: the price is 8 s old")
    await book.record_event([fact(refused, "kis-1:99")])
    for each in (database, leases):
        await each.close()


def test_orders_when_asked_then_tells_them_with_name_fills_and_korean_time(desk: Console) -> None:
    """Open ones by default, all or those of a venue's day when asked for."""
    assert desk.ask(orders)["orders"] == []
    found = desk.ask(orders, "--all")["orders"]
    assert [order["id"] for order in found] == [ORDER, DENIED]
    kinds = [(o["type"], o["time_in_force"], o["price"], o["trigger"]) for o in found]
    assert kinds == [("market", "day", None, None), ("stop_limit", "gtc", "47300", "47200")]
    bought = found[0]
    assert (bought["name"], bought["status"], bought["filled"]) == (
        "삼성전자",
        "filled",
        "10",
    )
    assert Decimal(bought["average"]) == Decimal(47_060)
    assert Decimal(bought["costs"]) == 65
    assert bought["created_at"] == "2018-02-26T09:31:05.000000+09:00"
    assert len(desk.ask(orders, "--day", "2018-02-26")["orders"]) == 2
    assert desk.ask(orders, "--day", "2018-02-25")["orders"] == []
    assert desk.ask(orders, "--all", "--instance", "rsi")["orders"] == []
    limited = desk.ask(orders, "--all", "--limit", "1")
    assert ([o["id"] for o in limited["orders"]], limited["left_out"]) == ([DENIED], 1)
    code, printed = desk.run(orders, "--all")
    assert code == 0
    assert "2018-02-26 09:31:05" in printed
    assert "KRX:005930 삼성전자" in printed
    assert "denied: R03: the price is 8 s old" in printed
    assert "stop_limit gtc, 47,200 reached" in printed
    reached = "at 47,300 after a trade reached its stop at 47,200 (gtc)"
    assert reached in desk.run(why, DENIED)[1]
    assert desk.run(orders, "--limit", "0")[0] == console.BAD_USAGE


def test_positions_when_prices_are_shared_then_are_marked_with_their_age(desk: Console) -> None:
    """Without a price the quantity and cost stand alone; with one the gain is told."""
    (bare,) = desk.ask(positions)["positions"]
    assert (bare["mark"], bare["unrealised"], Decimal(bare["average"])) == (None, None, 47_060)
    asyncio.run(_share(desk))
    document = desk.ask(positions)
    (held,) = document["positions"]
    (account,) = document["accounts"]
    assert Decimal(held["unrealised"]) == 10 * 48_000 - 470_600
    assert 0 <= held["mark_age_s"] < 3600
    assert Decimal(account["cash"]) == 10_000_000 - 470_600 - 65
    assert Decimal(account["equity"]) == 10_000_000 - 470_600 - 65 + 480_000
    assert account["is_marked"] is True
    assert "equity 10,009,335" in desk.run(positions)[1]


async def _share(desk: Console) -> None:
    import os

    state = RedisState(os.environ["JTS_REDIS__DSN"], time.monotonic_ns)
    now_ns = time.time_ns()
    note = PriceNote(
        instrument_id="KRX:005930",
        venue="KRX",
        price=Decimal(48_000),
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
    )
    await state.put(Kind.PRICE, "KRX:005930", msgspec.msgpack.encode(note))
    await state.close()


def test_ledger_when_dumped_then_sums_balances_and_rows_agree(desk: Console) -> None:
    """I06: cash + positions + costs = capital + realised, and every event's lines add up to 0."""
    document = desk.ask(ledger, "dump")
    (account,) = document["accounts"]
    assert Decimal(document["difference"]) == 0
    assert document["problems"] == []
    assert Decimal(account["cash"]) == 9_529_335
    assert Decimal(account["positions_at_cost"]) == 470_600
    total = sum(Decimal(row["debit"]) - Decimal(row["credit"]) for row in document["rows"])
    assert total == 0
    assert desk.ask(ledger, "dump", "--no-rows")["rows"] == []
    assert desk.ask(ledger, "dump", "--account", "kis/1")["balances"] == []
    assert "difference 0" in desk.run(ledger, "dump")[1]


def test_ledger_when_a_balance_was_changed_then_exit_4_and_names_it(desk: Console) -> None:
    """A projection that is not the sum of its lines is a broken invariant."""
    with psycopg.connect(libpq_url(desk.dsn), autocommit=True) as connection:
        connection.execute("UPDATE balances SET amount = amount + 1 WHERE ledger = 'cash'")
    document = desk.ask(ledger, "dump", code=console.INVARIANT_BROKEN)
    assert Decimal(document["difference"]) == 1
    assert "kis/5000000101/sma/cash" in document["problems"][0]
    verified = desk.ask(journal, "verify", code=console.INVARIANT_BROKEN)
    assert verified["problem"] == ""
    assert "should be" in verified["difference"]


def test_journal_when_verified_then_tells_chains_and_equal_projections(desk: Console) -> None:
    """One chain per writer; the projections are what the events add up to."""
    document = desk.ask(journal, "verify")
    assert document["is_good"] is True
    assert [(w["writer"], w["rows"]) for w in document["writers"]] == [
        ("trader", document["rows"])
    ]
    assert document["digest"] == document["rebuilt_digest"] != ""
    assert "bad: none" in desk.run(journal, "verify")[1]


def test_why_when_asked_of_an_order_then_goes_from_the_bytes_to_the_fills(desk: Console) -> None:
    """J1, J9: frame, bar, condition tree, sizing, verdict, attempt, answer, fills."""
    document = desk.ask(why, ORDER)
    assert document["frame"]["raw"] == RAW.decode() + "2"
    assert document["frame"]["received_at"].startswith("2018-02-26T09:31:05")
    decision = document["decision"]
    assert decision["values"] == VALUES
    assert (decision["strategy"], decision["bar"]["last_tick"]) == ("SMA", 77)
    assert decision["signals"][0]["condition"] == "sma(5) crosses above sma(20)"
    assert Decimal(document["sizing"]["share"]) == Decimal("0.047")
    assert document["verdicts"][0]["findings"][0]["figures"] == {"value": "470000"}
    assert document["sent"][0]["latency_ms"] == 3.25
    assert [event["event"] for event in document["events"]] == [
        "intent_recorded",
        "attempt_started",
        "order_acknowledged",
        "order_filled",
        "order_filled",
    ]
    assert [Decimal(fill["price"]) for fill in document["fills"]] == [47_000, 47_100]
    by_prefix, by_venue = desk.ask(why, "0a1b2c"), desk.ask(why, "20180226-06010-0000000001")
    assert by_prefix["order"]["id"] == by_venue["order"]["id"] == ORDER
    printed = desk.run(why, ORDER)[1]
    assert "= True (on the bar before: False)" in printed
    for told in ("sma(5) = 46990.5", "risk allowed", "3.250 ms after the frame", "삼성전자"):
        assert told in printed


def test_why_when_a_moment_is_named_then_tells_the_newest_decision_by_then(desk: Console) -> None:
    """J9: why not is answered too, in the time of the venue."""
    ordered = desk.ask(why, "005930", "--at", "2018-02-26T09:30")
    assert ordered["chain"]["order"]["id"] == ORDER
    held = desk.ask(why, "KRX:005930", "--at", "2018-02-26T09:40:00+09:00")
    assert held["chain"]["order"] is None
    assert held["chain"]["decision"]["outcome"] == "position held"
    assert "no order: position held" in desk.run(why, "005930", "--at", "2018-02-26T09:40")[1]
    nothing = desk.ask(why, "005930", "--at", "2018-02-25T09:00", code=console.CHECK_FAILED)
    assert nothing["chain"] is None
    assert desk.ask(why, "000660", "--at", "2018-02-26T09:40", code=1)["chain"] is None


def test_why_when_the_frame_is_gone_then_says_so_and_goes_on(desk: Console) -> None:
    """A frame that was never kept, or not any more, is named with its number."""
    document = desk.ask(why, DENIED)
    assert document["frame"]["problem"] == "is not kept any more"
    assert document["order"]["reason"].startswith("R03")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("ffff0000",), 1, "no order ffff0000"),
        (("0a1b",), 2, "beginning of 2 orders"),
        (("%",), 2, "no order id"),
        (("0a1b2c3d", "--at", "late"), 2, "no symbol"),
        (("005930", "--at", "late"), 2, "accepted: 09:31"),
    ],
)
def test_why_when_the_question_is_wrong_then_says_what_is_accepted(
    desk: Console, words: tuple[str, ...], code: int, says: str
) -> None:
    """One line and the exit code of a bad question."""
    found, printed = desk.run(why, *words)
    assert (found, says in printed) == (code, True), printed


def test_commands_when_the_ledger_is_away_then_exit_5_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's answer is named, with the way to start it."""
    monkeypatch.setenv("JTS_HOME", str(tmp_path))
    monkeypatch.setenv("JTS_POSTGRES__DSN", "postgresql://u@127.0.0.1:1/none")
    monkeypatch.chdir(tmp_path)
    away = Console(tmp_path, "")
    for command, words in ((orders, ()), (positions, ()), (ledger, ("dump",)), (why, ("0a1b2c",))):
        code, printed = away.run(command, *words)
        assert code == console.STORAGE_FAILED
        assert "jts up" in printed


def test_commands_when_the_ledger_is_empty_then_say_how_to_make_it(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database without our tables is no crash."""
    monkeypatch.setenv("JTS_HOME", str(tmp_path))
    monkeypatch.setenv("JTS_POSTGRES__DSN", postgres_dsn)
    monkeypatch.chdir(tmp_path)
    code, printed = Console(tmp_path, postgres_dsn).run(orders)
    assert (code, "jts migrate" in printed) == (console.STORAGE_FAILED, True)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Console]:
    """A home without any store."""
    monkeypatch.setenv("JTS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda: Console(tmp_path, "")


def test_kill_when_nothing_runs_then_latches_and_two_steps_release(bare: Any) -> None:
    """F60, I16: no store is needed; the release needs the code of the latch and a reason."""
    desk = bare()
    latched = desk.ask(kill, "--why", "strange fills")
    assert (latched["level"], latched["why"]) == ("entries", "strange fills")
    assert KillSwitch(desk.home / "run").level() is KillLevel.ENTRIES
    assert desk.ask(kill, "--level", "all", "--why", "worse")["level"] == "all"
    assert desk.ask(kill)["level"] == "all"
    shown = desk.ask(unkill, code=console.CHECK_FAILED)
    assert desk.run(unkill, "--code", latched["code"], "--why", "x")[0] == console.CHECK_FAILED
    assert desk.run(unkill, "--code", shown["code"])[0] == console.CHECK_FAILED
    released = desk.ask(unkill, "--code", shown["code"], "--why", "looked at every order")
    assert released["level"] == "none"
    assert KillSwitch(desk.home / "run").level() is KillLevel.NONE
    assert desk.ask(unkill)["code"] == ""


def test_kill_when_the_configuration_is_broken_then_works_with_a_named_home(bare: Any) -> None:
    """A typo in a file must not keep anybody from stopping."""
    desk = bare()
    (desk.home / "jts.toml").write_text("[nonsense\n")
    assert desk.run(kill)[0] == console.BAD_USAGE
    assert desk.ask(kill, "--home", str(desk.home), "--why", "typo")["level"] == "entries"
