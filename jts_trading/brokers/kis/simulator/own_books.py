"""The simulator's own books as JSON, for whoever compares with them from outside.

`GET /_simulator/ledger` is no path of the venue, needs no sign-in and counts against no quota:

    {"account": "5000000101", "day": "2024-06-03", "deposit": 100000000, "cash": 99859972,
     "costs": 28, "realised": 0, "is_balanced": true,
     "rows": [{"sequence": 1, "trade_date": "2024-06-03", "settle_date": "2024-06-05",
               "order_no": "0000000001", "symbol": "005930", "side": "BUY", "quantity": 2,
               "price": 70000, "gross": 140000, "commission": 19, "tax": 0, "net": -140019,
               "cost_change": 140000, "realised": 0}],
     "positions": {"005930": {"quantity": 2, "cost": 140000}}}
"""

from typing import Any

import msgspec

from jts_trading.brokers.kis.simulator.desk import Desk
from jts_trading.simulation.http import Reply

LEDGER_PATH = "/_simulator/ledger"


def ledger_reply(desk: Desk) -> Reply:
    """Return every row, the cash of D+2 and the positions of the simulated account."""
    ledger = desk.ledger
    body: dict[str, Any] = {
        "account": desk.account,
        "day": desk.day,
        "deposit": ledger.deposit,
        "cash": ledger.cash,
        "costs": ledger.costs,
        "realised": ledger.realised,
        "is_balanced": ledger.is_balanced,
        "rows": ledger.rows,
        "positions": {
            symbol: held for symbol, held in sorted(ledger.positions.items()) if held.quantity
        },
    }
    return Reply(200, msgspec.json.encode(body))
