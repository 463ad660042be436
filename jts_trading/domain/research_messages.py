"""What is asked of research over the bus, and what it answers."""

import msgspec


class BacktestRequested(msgspec.Struct, frozen=True, kw_only=True, tag="backtest_requested"):
    """Somebody wants a backtest with its tear sheet. Topic `backtest.requests`.

    Attributes:
        request_id: Unique; the same request again is the same run.
        dsl_code: Text of the strategy.
        venue: Where it trades.
        interval: Interval of the stored bars.
        from_day: First session, ISO date; the first stored one if empty.
        to_day: Last session, inclusive; the last stored one if empty.
        symbols: The venue's own spelling; all that have bars if empty.
        params: Values that replace those of the text.
        cash: Starting cash in the currency of the venue; 100 million won, or 100,000 USDT, if 0.
        requested_by: Who asked, for people.
        splits: `SYMBOL@DAY=OLD:NEW`: the first session with new shares, and their ratio.
        dividends: `SYMBOL@DAY=AMOUNT`: the ex-date, and won a share before tax.
        rights: `SYMBOL@DAY=RATIO:PRICE`: the ex-date, new shares for an old one, won for one.
        delistings: `SYMBOL@DAY` or `SYMBOL@DAY=PRICE`: the first day without trading, and what is
            paid for a share or coin that is held then.
        assume: `NAME=VALUE`, as `--assume` of the command: `fill=close`, `short_selling=yes`.
    """

    request_id: str
    dsl_code: str
    venue: str = "KRX"
    interval: str = "1d"
    from_day: str = ""
    to_day: str = ""
    symbols: tuple[str, ...] = ()
    params: dict[str, str] = {}
    cash: int = 0
    requested_by: str = ""
    splits: tuple[str, ...] = ()
    dividends: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    delistings: tuple[str, ...] = ()
    assume: tuple[str, ...] = ()


class BacktestFinished(msgspec.Struct, frozen=True, kw_only=True, tag="backtest_finished"):
    """A requested backtest has ended. Topic `backtest.results`.

    Attributes:
        run_id: The Dagster run.
        is_success: Whether there is a result.
        reason: Why there is none; empty with a result.
        metrics: Figures by name, without those that are not defined.
        tearsheet: Path of the page.
        document: Path of the JSON document of `jts backtest --json`.
    """

    request_id: str
    run_id: str
    is_success: bool
    reason: str = ""
    strategy: str = ""
    trades: int = 0
    final_equity: int = 0
    metrics: dict[str, float] = {}
    tearsheet: str = ""
    document: str = ""
