"""A client that was not written here trades with the simulator, changed only in its base URL."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from jts_trading.brokers.kis.simulator.player import World
from jts_trading.brokers.kis.simulator.server import Ready, serve
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.ports.clock import VirtualClock
from jts_trading.simulation.krx_market import Listing
from jts_trading.simulation.tape import TapeBar

pytestmark = pytest.mark.integration
SETTINGS = SimulatorSettings(
    speed=0.0, calls_per_s=1_000, ledger_calls_per_s=1_000, token_every_s=0.0
)


@pytest.fixture
def running(bars: list[TapeBar]) -> Iterator[Ready]:
    """A simulator in a thread of its own: the foreign client blocks."""
    listening: list[Ready] = []
    is_ready = threading.Event()
    loop = asyncio.new_event_loop()

    def note(ready: Ready) -> None:
        listening.append(ready)
        is_ready.set()

    world = World([Listing("005930", "삼성전자")], bars)
    serving = serve(SETTINGS, world, clock=VirtualClock(bars[0].start_ns), on_ready=note)

    task = loop.create_task(serving)

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    assert is_ready.wait(10)
    yield listening[0]
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_mojito_when_pointed_here_then_reads_orders_and_cancels(running, tmp_path, monkeypatch):
    """mojito2 signs in, reads prices and balance, orders, amends and cancels."""
    mojito = pytest.importorskip("mojito", reason="mojito2 is not installed: pip install mojito2")
    # It keeps its token in the working directory.
    monkeypatch.chdir(tmp_path)

    class Client(mojito.KoreaInvestment):
        def set_base_url(self, mock: bool = True) -> None:
            self.base_url = running.rest_url

    account = f"{SETTINGS.account}-{SETTINGS.product}"
    client = Client(SETTINGS.app_key, SETTINGS.app_secret, account, mock=True)

    price = client.fetch_price("005930")
    assert price["rt_cd"] == "0"
    assert int(price["output"]["stck_mxpr"]) > int(price["output"]["stck_prpr"])
    placed = client.create_limit_buy_order("005930", 60_000, 10)
    assert placed["rt_cd"] == "0", placed
    branch, number = (placed["output"][key] for key in ("KRX_FWDG_ORD_ORGNO", "ODNO"))
    moved = client.modify_order(branch, number, "00", 60_100, 10, True)
    assert moved["rt_cd"] == "0", moved
    gone = client.cancel_order(branch, moved["output"]["ODNO"], 10, True)
    assert gone["rt_cd"] == "0", gone
    bought = client.create_market_buy_order("005930", 3)
    assert bought["rt_cd"] == "0", bought
    balance = client.fetch_balance()
    assert [row["hldg_qty"] for row in balance["output1"]] == ["3"]
    assert int(balance["output2"][0]["prvs_rcdl_excc_amt"]) == running.desk.ledger.cash
