"""Runs nautilus_trader on the trades of the events: python nautilus_engine.py CASE FILE REPEATS.

A strategy builds minute bars of each instrument from the trades, keeps two means of their closes
and decides on their crossing, as JTS does. What is timed is the run of its engine.
"""

import gc
import sys
import time
from collections import deque
from decimal import Decimal

from event_ticks import INSTRUMENTS, make_trades
from measured import Outcome, median_of, say
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common.config import LoggingConfig
from nautilus_trader.data.config import DataEngineConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

OPEN_NS = 1_717_372_800_000_000_000
VENUE = Venue("SIM")


class Crossing(Strategy):
    """Counts bars, and crossings of their means."""

    def __init__(self, names: list[InstrumentId]) -> None:
        """Remember which instruments there are."""
        super().__init__()
        self.names = names
        self.closes = {name: (deque(maxlen=20), deque(maxlen=50)) for name in names}
        self.above = dict.fromkeys(names, 0)
        self.bars, self.total, self.crossings = 0, 0.0, 0

    def on_start(self) -> None:
        """Ask for bars."""
        for name in self.names:
            self.subscribe_bars(BarType.from_str(f"{name}-1-MINUTE-LAST-INTERNAL"))

    def on_bar(self, bar: Bar) -> None:
        """Decide on a bar."""
        name, close = bar.bar_type.instrument_id, float(bar.close)
        self.bars, self.total = self.bars + 1, self.total + close
        quick, slow = self.closes[name]
        quick.append(close)
        slow.append(close)
        if len(slow) == 50:
            now = 1 if sum(quick) * 50 > sum(slow) * 20 else -1
            self.crossings += now != self.above[name]
            self.above[name] = now


def main() -> None:
    """Measure one case."""
    _, _case, _path, repeats, *_ = sys.argv
    stamps, prices, which = make_trades(OPEN_NS)
    names = [InstrumentId(Symbol(f"{number:06d}"), VENUE) for number in range(INSTRUMENTS)]
    ticks = [
        TradeTick(
            names[at],
            Price(price, 0),
            Quantity(1, 0),
            AggressorSide.BUYER,
            TradeId(str(number)),
            stamp,
            stamp,
        )
        for number, (stamp, price, at) in enumerate(
            zip(stamps.tolist(), prices.tolist(), which.tolist(), strict=True)
        )
    ]

    def run() -> tuple[float, Outcome]:
        engine, strategy = _engine(names), Crossing(names)
        engine.add_data(ticks)
        engine.add_strategy(strategy)
        # As for JTS: collections leave alone what is there before the first event.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 10, 10)
        began = time.perf_counter()
        engine.run(end=int(stamps[-1]) + 120_000_000_000)
        spent = time.perf_counter() - began
        engine.dispose()
        gc.unfreeze()
        return spent, Outcome(strategy.bars, strategy.total)

    seconds, outcome = median_of(run, int(repeats))
    say(rows=len(ticks), seconds=seconds, outcome=outcome)


def _engine(names: list[InstrumentId]) -> BacktestEngine:
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            data_engine=DataEngineConfig(time_bars_build_with_no_updates=False),
        )
    )
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=USD,
        starting_balances=[Money(1_000_000_000, USD)],
    )
    for name in names:
        engine.add_instrument(
            Equity(
                instrument_id=name,
                raw_symbol=name.symbol,
                currency=USD,
                price_precision=0,
                price_increment=Price(1, 0),
                lot_size=Quantity.from_int(1),
                ts_event=0,
                ts_init=0,
                maker_fee=Decimal(0),
                taker_fee=Decimal(0),
            )
        )
    return engine


main()
