"""The strategies of the cases, as JTS reads them."""

CASH = 1_000_000_000_000

SMA = """
strategy("SMA") {
  indicators {
    fast = SMA(period: 20)
    slow = SMA(period: 50)
  }
  entry.long { when (fast crosses above slow) { buy(quantity: 1) } }
  exit.long { when (fast crosses below slow) { sell(quantity: "all") } }
}
"""
TEXTS = {"sma": SMA, "compile": SMA}
