"""The risk block of a strategy: whole-number conditions, the same in a backtest and live.

Prices are won, shares ppm; a share of zero means that the text sets no such limit. Conditions are
judged on the close of closed bars and compare products of whole numbers, so nothing is rounded.
"""

from jts_trading.strategy.sizing import PPM, share_of


def is_trailing_stop_hit(close: int, peak: int, ppm: int) -> bool:
    """Return whether the close lies the given share, or more, below the peak.

    Args:
        close: Close of the bar that has just closed.
        peak: Highest close since entry, the bar of the entry and this bar included.
        ppm: Distance from the peak.
    """
    return ppm > 0 and close * PPM <= peak * (PPM - ppm)


def is_stop_loss_hit(close: int, entry: int, ppm: int) -> bool:
    """Return whether the close lies the given share, or more, below the entry price."""
    return ppm > 0 and close * PPM <= entry * (PPM - ppm)


def is_profit_taken(close: int, entry: int, ppm: int) -> bool:
    """Return whether the close lies the given share, or more, above the entry price."""
    return ppm > 0 and close * PPM >= entry * (PPM + ppm)


def is_daily_loss_reached(equity: int, equity_at_start: int, ppm: int) -> bool:
    """Return whether the trading day has lost the given share, or more, of its first equity."""
    return ppm > 0 and equity_at_start - equity >= -share_of(-equity_at_start, ppm)
