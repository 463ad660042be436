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
# The trailing stop is the highest close less three ranges of the last 22 bars.
MULTI = """
strategy("Multi") {
  indicators {
    momentum = MACD(fast: 12, slow: 26, signal: 9)
    strength = RSI(period: 14)
    width = ATR(period: 14)
    floor = Highest(source: close - 3 * width, period: 22)
  }
  entry.long {
    when (momentum.histogram > 0 and strength between [40, 60]) { buy(quantity: "20%") }
  }
  exit.long { when (close < floor) { sell(quantity: "all") } }
  risk_management { trailing_stop = "3%" }
}
"""
PORTFOLIO = """
strategy("Portfolio") {
  indicators {
    fast = SMA(period: 20)
    slow = SMA(period: 50)
  }
  entry.long { when (fast crosses above slow) { buy(quantity: "0.1%") } }
  exit.long { when (fast crosses below slow) { sell(quantity: "all") } }
  risk_management {
    stop_loss = "2%"
    trailing_stop = "3%"
    take_profit = "6%"
    max_positions = 700
  }
}
"""
SWEEP = """
strategy("Sweep") {
  params {
    quick = 5 in 5..100 step 5
    slow = 110 in 110..300 step 10
  }
  indicators {
    quick_mean = SMA(period: quick)
    slow_mean = SMA(period: slow)
  }
  entry.long { when (quick_mean crosses above slow_mean) { buy(quantity: 1) } }
  exit.long { when (quick_mean crosses below slow_mean) { sell(quantity: "all") } }
}
"""
SURGE = """
strategy("Surge") {
  surge_detection {
    when (price_change(5m) > 3% and volume > avg_volume(20) * 2) { execute_immediately(1) }
  }
  exit.long { when (SMA(20) crosses below SMA(50)) { sell(quantity: "all") } }
}
"""
TEXTS = {
    "sma": SMA,
    "sma-small": SMA,
    "compile": SMA,
    "live-step": SMA,
    "events": SMA,
    "surge": SURGE,
    "multi": MULTI,
    "portfolio": PORTFOLIO,
    "sweep": SWEEP,
}
