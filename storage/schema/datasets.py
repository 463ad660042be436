"""The datasets of JTS, each declared once.

A `Dataset` says which columns exist, what identifies a row and how rows are sorted; the Arrow
schema, the Parquet options and the ClickHouse table are derived from it (`schema.arrow`,
`schema.clickhouse`). Columns may be added inside a version; any other change raises it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a column holds; each store maps a kind to one of its types."""

    TIMESTAMP_MS = "timestamp_ms"
    TIMESTAMP_NS = "timestamp_ns"
    DAY = "day"
    LABEL = "label"
    TEXT = "text"
    PRICE = "price"
    VOLUME = "volume"
    MONEY = "money"
    COUNT = "count"
    FLAG = "flag"


DECIMALS = frozenset({Kind.PRICE, Kind.VOLUME, Kind.MONEY})
"""Kinds that stand at a venue's own scale in files and at eight decimals in the hot tier."""


class Status(StrEnum):
    """How a bar came about."""

    TRADED = "traded"
    HALTED = "halted"
    AUCTION = "auction"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, kind, meaning, and whether it may be null."""

    name: str
    kind: Kind
    meaning: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """A kind of rows at rest.

    Attributes:
        name: Table, folder and view name.
        version: Raised by every change that is not an added column.
        columns: In file order.
        key: Columns that identify a row; the row with the highest `revision` is the valid one.
        file_sort: Order of rows inside a Parquet file.
        statuses: Values of the column `status` that summaries count; empty to count none.
        is_appended: The daemon appends its rows as they happen; those of the others come in loads
            that are visible as a whole.
    """

    name: str
    version: int
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    file_sort: tuple[str, ...]
    revision: str = "revision"
    statuses: tuple[str, ...] = ()
    is_appended: bool = False

    def column(self, name: str) -> Column:
        """Return the column of that name.

        Raises:
            KeyError: There is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


CANDLES = Dataset(
    name="candles",
    version=1,
    columns=(
        Column("timestamp", Kind.TIMESTAMP_MS, "start of the bar, UTC"),
        Column("venue", Kind.LABEL, "where it trades: KRX, NXT, UPBIT, BINANCE, US"),
        Column("symbol", Kind.LABEL, "the venue's own spelling"),
        Column("broker", Kind.LABEL, "source of the row"),
        Column("interval", Kind.LABEL, "1m, 5m, 1h, 1d ..."),
        Column("open", Kind.PRICE, "null where nothing traded", nullable=True),
        Column("high", Kind.PRICE, "null where nothing traded", nullable=True),
        Column("low", Kind.PRICE, "null where nothing traded", nullable=True),
        Column("close", Kind.PRICE, "last trade; carried while halted"),
        Column("volume", Kind.VOLUME, "shares, or base units of a crypto pair"),
        Column("bid", Kind.PRICE, "best bid at the end of the bar", nullable=True),
        Column("ask", Kind.PRICE, "best ask at the end of the bar", nullable=True),
        Column("trade_date", Kind.DAY, "session of the venue's calendar"),
        Column("received_at", Kind.TIMESTAMP_MS, "when JTS received the row, UTC"),
        Column("available_at", Kind.TIMESTAMP_MS, "from when a decision may know it, UTC"),
        Column("revision", Kind.COUNT, "1, and one more with each correction"),
        Column("status", Kind.LABEL, "traded, halted, auction or synthetic"),
        Column("quality", Kind.LABEL, "ok, or the name of a doubt"),
        Column("ingest_id", Kind.LABEL, "load that brought the row"),
    ),
    key=("venue", "symbol", "interval", "timestamp", "broker"),
    file_sort=("symbol", "timestamp", "broker"),
    statuses=tuple(Status),
)

_VENUE = Column("venue", Kind.LABEL, "where it trades: KRX, NXT, UPBIT, BINANCE, US")
_SYMBOL = Column("symbol", Kind.LABEL, "the venue's own spelling")
_BROKER = Column("broker", Kind.LABEL, "through whom: kis, binance, paper ...")
_INSTRUMENT = Column("instrument_id", Kind.LABEL, "listing market and symbol, such as KRX:005930")
_INSTANCE = Column("instance", Kind.LABEL, "strategy instance")
_RELEASE = Column("release", Kind.LABEL, "name and digest of the strategy release")
_DECISION = Column("decision_id", Kind.TEXT, "the evaluated decision that it comes from")
_CORRELATION = Column("correlation_id", Kind.TEXT, "frame that it began with, such as kis-1:4711")
_SEQ = Column("seq", Kind.COUNT, "number of the event in the journal")
_TRADE_DATE = Column("trade_date", Kind.DAY, "session of the venue's calendar")
_AVAILABLE = Column("available_at", Kind.TIMESTAMP_NS, "from when a decision may know it, UTC")
_INGEST = Column("ingest_id", Kind.LABEL, "stream that brought the row")
_JOURNAL_REVISION = Column("revision", Kind.COUNT, "number of the newest event that it tells of")

TICKS = Dataset(
    name="ticks",
    version=1,
    columns=(
        Column("timestamp", Kind.TIMESTAMP_NS, "when the venue dates the trade, UTC"),
        _VENUE,
        _SYMBOL,
        _BROKER,
        Column("interval", Kind.LABEL, "always tick"),
        Column("price", Kind.PRICE, "of the trade"),
        Column("quantity", Kind.VOLUME, "shares, or base units of a crypto pair"),
        Column("aggressor", Kind.LABEL, "buy, sell, auction or unknown"),
        Column("cumulative", Kind.VOLUME, "traded on the day including this trade"),
        Column("bid", Kind.PRICE, "best bid after the trade, if the venue says", nullable=True),
        Column("ask", Kind.PRICE, "best ask after the trade, if the venue says", nullable=True),
        Column("halted", Kind.FLAG, "the venue flags the instrument as halted"),
        _TRADE_DATE,
        Column("received_at", Kind.TIMESTAMP_NS, "when its frame arrived, UTC"),
        _AVAILABLE,
        Column("feed", Kind.LABEL, "broker and number of the socket, such as kis-1"),
        Column("session", Kind.COUNT, "number of the connection"),
        Column("frame", Kind.COUNT, "number of its frame among all kept frames of the feed"),
        Column("tick", Kind.COUNT, "number of the tick among all of the feed, without gaps"),
        Column("revision", Kind.COUNT, "always 1"),
        _INGEST,
    ),
    key=("venue", "symbol", "interval", "timestamp", "feed", "tick"),
    file_sort=("symbol", "timestamp", "feed", "tick"),
    is_appended=True,
)

SIGNALS = Dataset(
    name="signals",
    version=1,
    columns=(
        Column("timestamp", Kind.TIMESTAMP_NS, "start of the judged bar, UTC"),
        _VENUE,
        _SYMBOL,
        Column("interval", Kind.LABEL, "of the judged bar: 1s, 1m, 1d ..."),
        _INSTANCE,
        _RELEASE,
        Column("signal_id", Kind.TEXT, "made from the decision and the rule"),
        _DECISION,
        Column("rule", Kind.COUNT, "bit of the rule"),
        Column("kind", Kind.LABEL, "entry or exit"),
        Column("side", Kind.LABEL, "buy or sell, of the order that the rule asks for"),
        Column("price", Kind.PRICE, "close of the judged bar"),
        Column("condition", Kind.TEXT, "the rule as text"),
        Column("decided_at", Kind.TIMESTAMP_NS, "when it was judged, instance time, UTC"),
        _CORRELATION,
        _SEQ,
        _TRADE_DATE,
        _AVAILABLE,
        _JOURNAL_REVISION,
        _INGEST,
    ),
    key=("venue", "symbol", "interval", "timestamp", "instance", "signal_id"),
    file_sort=("symbol", "timestamp", "instance", "signal_id"),
    is_appended=True,
)

DECISIONS = Dataset(
    name="decisions",
    version=1,
    columns=(
        Column("timestamp", Kind.TIMESTAMP_NS, "start of the judged bar, UTC"),
        _VENUE,
        _SYMBOL,
        Column("interval", Kind.LABEL, "of the judged bar: 1s, 1m, 1d ..."),
        _INSTANCE,
        _RELEASE,
        _DECISION,
        Column("price", Kind.PRICE, "close of the judged bar"),
        Column("fired", Kind.COUNT, "mask of the rules that fired"),
        Column("outcome", Kind.TEXT, "ordered, or why no order came of it"),
        Column("conditions", Kind.TEXT, "evaluated condition tree as JSON: texts and values"),
        Column("bar", Kind.TEXT, "the judged bar as JSON"),
        Column("equity", Kind.MONEY, "of the instance at the decision, in its currency"),
        Column("decided_at", Kind.TIMESTAMP_NS, "when it was judged, instance time, UTC"),
        Column("triggered_at", Kind.TIMESTAMP_NS, "when the frame came, if one", nullable=True),
        _CORRELATION,
        _SEQ,
        _TRADE_DATE,
        _AVAILABLE,
        _JOURNAL_REVISION,
        _INGEST,
    ),
    key=("venue", "symbol", "interval", "timestamp", "instance", "decision_id"),
    file_sort=("symbol", "timestamp", "instance", "decision_id"),
    is_appended=True,
)

ORDERS = Dataset(
    name="orders",
    version=1,
    columns=(
        Column("timestamp", Kind.TIMESTAMP_NS, "when the order was first known, UTC"),
        _VENUE,
        _SYMBOL,
        _BROKER,
        Column("interval", Kind.LABEL, "always order"),
        _INSTRUMENT,
        Column("order_id", Kind.TEXT, "UUID of the order"),
        _INSTANCE,
        _RELEASE,
        Column("account", Kind.LABEL, "account at the broker"),
        Column("side", Kind.LABEL, "buy or sell"),
        Column("quantity", Kind.VOLUME, "ordered"),
        Column("price", Kind.PRICE, "limit; null for a market order", nullable=True),
        Column("currency", Kind.LABEL, "what it is paid in"),
        Column("time_in_force", Kind.LABEL, "day, ioc, fok or gtc"),
        Column("status", Kind.LABEL, "intent, sending, unknown, open, filled, cancelled ..."),
        Column("filled", Kind.VOLUME, "sum of its fills"),
        Column("reason", Kind.TEXT, "why it is in this status, where somebody said"),
        Column("attempt", Kind.COUNT, "how often it was sent"),
        Column("client_order_id", Kind.TEXT, "of the newest attempt", nullable=True),
        Column("venue_order_id", Kind.TEXT, "the venue's own, once known", nullable=True),
        Column("created_at", Kind.TIMESTAMP_NS, "instance time of its first event, UTC"),
        Column("updated_at", Kind.TIMESTAMP_NS, "instance time of its newest event, UTC"),
        _DECISION,
        _CORRELATION,
        _SEQ,
        _TRADE_DATE,
        _AVAILABLE,
        _JOURNAL_REVISION,
        _INGEST,
    ),
    key=("venue", "symbol", "interval", "timestamp", "order_id"),
    file_sort=("symbol", "timestamp", "order_id"),
    is_appended=True,
)

FILLS = Dataset(
    name="fills",
    version=1,
    columns=(
        Column("timestamp", Kind.TIMESTAMP_NS, "when the venue traded, UTC"),
        _VENUE,
        _SYMBOL,
        _BROKER,
        Column("interval", Kind.LABEL, "always fill"),
        _INSTRUMENT,
        Column("trade_id", Kind.TEXT, "the venue's own"),
        Column("order_id", Kind.TEXT, "UUID of the order"),
        _INSTANCE,
        _RELEASE,
        Column("account", Kind.LABEL, "account at the broker"),
        Column("side", Kind.LABEL, "buy or sell"),
        Column("quantity", Kind.VOLUME, "of this fill"),
        Column("price", Kind.PRICE, "of this fill"),
        Column("gross", Kind.MONEY, "price times quantity as the venue booked it"),
        Column("fee", Kind.MONEY, "in the currency of the order"),
        Column("tax", Kind.MONEY, "in the currency of the order"),
        Column("fee_quantity", Kind.VOLUME, "what the venue kept of the instrument itself"),
        Column("currency", Kind.LABEL, "what was paid in"),
        _DECISION,
        _CORRELATION,
        _SEQ,
        _TRADE_DATE,
        Column("recorded_at", Kind.TIMESTAMP_NS, "when the journal had it, instance time, UTC"),
        _AVAILABLE,
        _JOURNAL_REVISION,
        _INGEST,
    ),
    key=("venue", "symbol", "interval", "timestamp", "account", "trade_id"),
    file_sort=("symbol", "timestamp", "account", "trade_id"),
    is_appended=True,
)

GAPS = Dataset(
    name="gaps",
    version=1,
    columns=(
        Column("timestamp", Kind.TIMESTAMP_NS, "from when, instance time, UTC"),
        _VENUE,
        Column("symbol", Kind.LABEL, "what is concerned; empty for a whole feed"),
        Column("interval", Kind.LABEL, "always gap"),
        _INSTRUMENT,
        Column("feed", Kind.LABEL, "broker and number of the socket, such as kis-1"),
        Column("kind", Kind.LABEL, "disconnected, silent, missed, undecodable or quarantined"),
        Column("ended_at", Kind.TIMESTAMP_NS, "until when; null while it lasts", nullable=True),
        Column("missing", Kind.VOLUME, "shares, trades or frames; 0 where unknown"),
        Column("reason", Kind.TEXT, "what was seen"),
        _TRADE_DATE,
        _AVAILABLE,
        Column("revision", Kind.COUNT, "grows with what is known of it"),
        _INGEST,
    ),
    key=("venue", "symbol", "interval", "timestamp", "feed", "kind"),
    file_sort=("symbol", "timestamp", "feed", "kind"),
    is_appended=True,
)

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset for dataset in (CANDLES, TICKS, SIGNALS, DECISIONS, ORDERS, FILLS, GAPS)
}

# Decimal places of prices and of volumes at rest, by venue: design section 10.
PRICE_SCALE = {"KRX": 0, "NXT": 0, "US": 4, "UPBIT": 8, "BINANCE": 8}
VOLUME_SCALE = {"KRX": 0, "NXT": 0, "US": 0, "UPBIT": 8, "BINANCE": 8}

INTERVALS = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "10m": 600,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "4h": 14_400,
    "1d": 86_400,
}
"""Length of each bar interval in seconds."""
