"""The page of a daily report: one HTML file that needs nothing but itself. Times are in Korea."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from html import escape
from itertools import islice

from jts_pipelines.reports.amounts import amount, signed
from jts_pipelines.reports.daily_charts import equity_chart, price_chart
from jts_pipelines.reports.daily_document import DailyReport
from jts_pipelines.reports.daily_records import SEOUL, Fill, Order, Prices
from jts_pipelines.reports.page import Cell, card, cell, figure, page, pair, section, table
from jts_trading.domain.orders import OrderSide

ROWS_MAX = 400
CHARTS_MAX = 4
_NS_PER_S = 1_000_000_000
_SIDES = {OrderSide.BUY: "gain", OrderSide.SELL: "loss"}
_FOOTER = (
    "<footer>Times are Korean. Red is a gain or a purchase, blue a loss or a sale, as on Korean "
    "boards. Recorded by the daemon in the lake, booked by the journal in the ledger: both were "
    "read for this page and compared.</footer>"
)


def render(report: DailyReport, prices: Mapping[str, Prices]) -> str:
    """Return the page as text.

    Args:
        report: What to show.
        prices: Of the instruments concerned, by id.
    """
    title = f"{report.day} {report.broker} {report.account}"
    start = report.money.opening_equity + report.money.moved
    return page(
        title,
        (
            _header(report),
            _cards(report),
            _broken(report),
            section(
                "Equity",
                figure(equity_chart(report.equity, report.fills, float(start))),
            ),
            section("Prices and fills", *_prices(report, prices)),
            section(f"Orders ({len(report.orders)})", _orders(report)),
            section(f"Fills ({len(report.fills)})", _fills(report)),
            section("Positions at the end", _positions(report)),
            section("Round trips that ended", _trips(report)),
            section(
                "Why, and why not",
                pair(
                    _counts("Judged bars of which something came", report.decisions),
                    _counts("Orders refused by risk, by check", report.denials),
                ),
            ),
            section("Market data that was missing", _gaps(report)),
            section("Does it add up?", _statements(report)),
            _FOOTER,
        ),
    )


def _header(report: DailyReport) -> str:
    releases = ", ".join(report.releases) or "no release had an order"
    return (
        f"<header><h1>{report.day}: {escape(report.broker)} {escape(report.account)}</h1>"
        f"<p class='muted'>{len(report.orders)} orders, {len(report.fills)} fills &middot; "
        f"amounts in {escape(report.currency)}</p>"
        f"<p class='muted small'>{escape(releases)}</p></header>"
    )


def _cards(report: DailyReport) -> str:
    money, latency = report.money, report.latency
    verdict = "yes" if report.is_balanced else "NO"
    won = "–" if report.win_rate is None else f"{100 * report.win_rate:.0f} %"
    fast = "–" if latency.p50_ms is None else f"{latency.p50_ms:,.1f} / {latency.p99_ms:,.1f}"
    cards = (
        card("Result after costs", signed(money.result), tone=_tone(money.result)),
        card("Equity at the end", amount(money.closing_equity)),
        card("Realised, before costs", signed(money.realised), tone=_tone(money.realised)),
        card("Unrealised", signed(money.unrealised), tone=_tone(money.unrealised)),
        card("Fees and tax", amount(money.fees + money.tax), hint=_costs(report)),
        card(f"Winning round trips of {len(report.trips)}", won),
        card(
            "Frame to wire, ms: median / 99 %",
            fast,
            hint=f"{latency.n} orders, journal commit included",
        ),
        card("Ledger balanced to the unit", verdict, tone="" if report.is_balanced else "gain"),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _costs(report: DailyReport) -> str:
    money = report.money
    return f"fees {amount(money.fees)}, tax {amount(money.tax)} of {amount(money.turnover)}"


def _broken(report: DailyReport) -> str:
    broken = [each for each in report.statements if not each.holds]
    if not broken:
        return ""
    items = "".join(f"<li>{escape(each.name)}: {escape(each.found)}</li>" for each in broken)
    return f'<div class="warnings"><b>Does not hold</b><ul>{items}</ul></div>'


def _prices(report: DailyReport, prices: Mapping[str, Prices]) -> Iterator[str]:
    """Yield charts of the instruments that were traded most."""
    turnover: dict[str, Decimal] = {}
    for fill in report.fills:
        turnover[fill.instrument_id] = turnover.get(fill.instrument_id, Decimal(0)) + fill.gross
    for instrument in sorted(turnover, key=lambda each: -turnover[each])[:CHARTS_MAX]:
        own = [fill for fill in report.fills if fill.instrument_id == instrument]
        chart = price_chart(prices.get(instrument, Prices(before=None, ts_ns=(), last=())), own)
        if chart:
            yield f"<h3>{escape(_named(report, instrument))}</h3>" + figure(chart)


def _orders(report: DailyReport) -> str:
    filled = _averages(report.fills)
    rows = (
        (
            _clock(order.created_ns),
            cell(
                report.names.get(order.instrument_id) or order.instrument_id, note=order.instance
            ),
            cell(order.side.value, tone=_SIDES[order.side]),
            amount(order.quantity),
            "market" if order.price is None else amount(order.price),
            cell(order.status, note=f"of {order.attempt} sendings" if order.attempt > 1 else ""),
            amount(order.filled),
            "–" if order.order_id not in filled else _paid(filled[order.order_id]),
            Cell(f'<td class="left"><code>{escape(order.correlation_id)}</code></td>'),
            cell(order.reason, tone="left"),
        )
        for order in report.orders
    )
    head = (
        *("Time", "Instrument", "Side", "Quantity", "Limit", "Status", "Filled", "At"),
        *("From frame", "Reason"),
    )
    return _limited(head, rows, len(report.orders), "No order was given.")


def _paid(average: Decimal) -> str:
    """Write an average price to ten digits, never with an exponent."""
    return amount(Context(prec=10).plus(average))


def _averages(fills: Sequence[Fill]) -> dict[str, Decimal]:
    """Return what a unit cost on average, by order."""
    gross: dict[str, Decimal] = {}
    quantity: dict[str, Decimal] = {}
    for fill in fills:
        gross[fill.order_id] = gross.get(fill.order_id, Decimal(0)) + fill.gross
        quantity[fill.order_id] = quantity.get(fill.order_id, Decimal(0)) + fill.quantity
    return {order: gross[order] / quantity[order] for order in gross}


def _fills(report: DailyReport) -> str:
    rows = (
        (
            _clock(fill.ts_ns),
            _who(report, fill),
            cell(fill.side.value, tone=_SIDES[fill.side]),
            amount(fill.quantity),
            amount(fill.price),
            amount(fill.gross),
            amount(fill.fee),
            amount(fill.tax),
            Cell(f'<td class="left"><code>{escape(fill.trade_id)}</code></td>'),
        )
        for fill in report.fills
    )
    head = ("Time", "Instrument", "Side", "Quantity", "Price", "Gross", "Fee", "Tax", "Trade")
    return _limited(head, rows, len(report.fills), "Nothing was traded.")


def _positions(report: DailyReport) -> str:
    rows = (
        (
            _named(report, each.instrument_id),
            amount(each.quantity),
            amount(each.cost),
            "at cost" if each.mark is None else amount(each.mark),
            cell(signed(each.unrealised), tone=_tone(each.unrealised)),
        )
        for each in report.positions
    )
    head = ("Instrument", "Quantity", "Cost", "Last price", "Unrealised")
    return _limited(head, rows, len(report.positions), "Flat.")


def _trips(report: DailyReport) -> str:
    rows = (
        (
            _clock(trip.closed_ns),
            _named(report, trip.instrument_id),
            trip.instance,
            f"{(trip.closed_ns - trip.opened_ns) / _NS_PER_S / 60:,.1f}",
            cell(signed(trip.net), tone=_tone(trip.net)),
        )
        for trip in report.trips
    )
    head = ("Ended", "Instrument", "Instance", "Minutes", "Net of costs")
    return _limited(head, rows, len(report.trips), "None ended.")


def _gaps(report: DailyReport) -> str:
    rows = (
        (
            _clock(gap.from_ns),
            "" if gap.until_ns is None else _clock(gap.until_ns),
            gap.feed,
            _named(report, gap.instrument_id) if gap.instrument_id else "whole feed",
            gap.kind,
            amount(gap.missing) if gap.missing else "",
            gap.reason,
        )
        for gap in report.gaps
    )
    head = ("From", "Until", "Feed", "Instrument", "Kind", "Missing", "What was seen")
    return _limited(head, rows, len(report.gaps), "Nothing is known to be missing.")


def _counts(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return f"<h3>{escape(title)}</h3><p class='muted'>None.</p>"
    rows = [(name, f"{count:,}") for name, count in counts.items()]
    return f"<h3>{escape(title)}</h3>" + table(("", ""), rows)


def _statements(report: DailyReport) -> str:
    rows = (
        (
            each.name,
            cell("yes" if each.holds else "NO", tone="" if each.holds else "gain"),
            cell(each.found, tone="left"),
        )
        for each in report.statements
    )
    return table(("Statement", "Holds", "Found"), rows)


def _limited(head: Sequence[str], rows: Iterable[Sequence[str]], count: int, without: str) -> str:
    """Return a table of the first rows, and say how many more the document has."""
    if count == 0:
        return f"<p class='muted'>{escape(without)}</p>"
    shown = table(head, islice(rows, ROWS_MAX))
    more = count - ROWS_MAX
    return shown + (f"<p class='muted'>{more:,} more in the document.</p>" if more > 0 else "")


def _named(report: DailyReport, instrument: str) -> str:
    return f"{report.names.get(instrument, '')} {instrument}".strip()


def _who(report: DailyReport, each: Order | Fill) -> Cell:
    name = report.names.get(each.instrument_id) or each.instrument_id
    return cell(name, note=each.instance)


def _clock(ts_ns: int) -> str:
    """Return the time of day in Korea with milliseconds."""
    seconds, rest_ns = divmod(ts_ns, _NS_PER_S)
    at = datetime.fromtimestamp(seconds, SEOUL)
    return f"{at:%H:%M:%S}.{rest_ns // 1_000_000:03}"


def _tone(number: Decimal) -> str:
    return "" if not number else "gain" if number > 0 else "loss"
