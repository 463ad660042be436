"""`jts sim binance` as a program."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.integration


def test_command_when_ready_then_rest_and_streams_answer_and_it_ends_at_once(
    tmp_path: Path,
) -> None:
    """One JSON line once both ports answer; the section of the configuration is read."""
    environment = {
        **os.environ,
        "JTS_HOME": str(tmp_path),
        "JTS_SIM__BINANCE__SYMBOLS": '["ETHUSDT"]',
    }
    command = [sys.executable, "-m", "jts_trading", "sim", "binance", "--port", "0", "--json"]
    with subprocess.Popen(
        [*command, "--keep", "--seed", "5"], stdout=subprocess.PIPE, text=True, env=environment
    ) as popen:
        try:
            assert popen.stdout is not None
            told = json.loads(popen.stdout.readline())
            assert told["plays"] == "generated ETHUSDT"
            assert told["stream_url"].startswith("ws://127.0.0.1:")
            with httpx.Client(base_url=told["rest_url"], trust_env=False) as client:
                book = client.get("/api/v3/depth", params={"symbol": "ETHUSDT", "limit": 5})
                assert len(book.json()["bids"]) == 5
                assert client.get("/api/v3/nothing").status_code == 404
                refused = client.get("/api/v3/depth", params={"symbol": "BTCUSDT"})
                assert (refused.status_code, refused.json()["code"]) == (400, -1121)
            popen.send_signal(signal.SIGTERM)
            assert popen.wait(10) == 0
        finally:
            popen.kill()
