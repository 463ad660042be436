"""The text that `jts strategy new` writes."""

import re
import unicodedata

_TEMPLATE = """\
// {name}: buys when the quick mean crosses above the slow one, sells when it falls back.
// Check it with `jts strategy check`, see what it compiles to with `jts strategy explain`.
strategy("{name}") {{
  // Values that a sweep or --set may change, with the range that makes sense.
  params {{
    quick = 20 in 5..50 step 5
    slow = 60 in 20..200 step 20
  }}

  // Every indicator is computed once, on closed bars.
  indicators {{
    quick_mean = SMA(period: quick)
    slow_mean = SMA(period: slow)
    strength = RSI(period: 14)
  }}

  // Which instruments may be entered, and which first when cash is short.
  // universe {{ market = "KOSPI" close > 2_000 KRW }}
  // rank by change(close, 60) / close

  entry.long {{
    // Conditions: > >= < <= == !=, crosses above/below, between [a, b], and, or, not.
    when (quick_mean crosses above slow_mean and strength < 70) {{
      buy(quantity: "5%", type: "market")
    }}
  }}

  exit.long {{
    // What is held can be asked for, too: position.profit > 10%, position.bars >= 20.
    when (quick_mean crosses below slow_mean or strength > 80) {{
      sell(quantity: "all", type: "market")
    }}
  }}

  risk_management {{
    max_position_size = "20%"
    trailing_stop = "8%"
    daily_loss_limit = "3%"
  }}
}}
"""


def template(name: str) -> str:
    """Return a commented strategy; characters that a name may not have become spaces."""
    whole = unicodedata.normalize("NFC", name)
    clean = re.sub(r"[^A-Za-z0-9_가-힣.-]+", " ", whole).strip(" ._-")[:64]
    return _TEMPLATE.format(name=clean or "My strategy")
