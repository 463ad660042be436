"""Which instruments the universe of a strategy accepts: the same answer in a backtest and live."""

from jts_trading.dsl.plan import Universe


def selects(universe: Universe) -> bool:
    """Return whether a universe leaves any instrument out by what it is."""
    return bool(universe.markets or universe.assets or universe.symbols or universe.excluded)


def admits(universe: Universe, instrument_id: str, market: str, asset: str) -> bool:
    """Return whether an instrument may be entered.

    Args:
        universe: Of the strategy.
        instrument_id: `MARKET:SYMBOL`; the universe may name it by its symbol alone.
        market: That lists it: KOSPI, KOSDAQ, KONEX.
        asset: Kind of instrument: COMMON, ETF and so on.
    """
    names = {instrument_id.upper(), instrument_id.partition(":")[2].upper()}
    if not names.isdisjoint(universe.excluded):
        return False
    if universe.symbols and names.isdisjoint(universe.symbols):
        return False
    is_listed = not universe.markets or market in universe.markets
    return is_listed and (not universe.assets or asset in universe.assets)


def describe(universe: Universe) -> str:
    """Return in words what an instrument has to be."""
    parts = {
        "market": universe.markets,
        "asset": universe.assets,
        "symbols": universe.symbols,
        "not": universe.excluded,
    }
    return "; ".join(f"{name} {', '.join(words)}" for name, words in parts.items() if words)
