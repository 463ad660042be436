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
    PRICE = "price"
    VOLUME = "volume"
    COUNT = "count"


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
    """

    name: str
    version: int
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    file_sort: tuple[str, ...]
    revision: str = "revision"

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
)

DATASETS: dict[str, Dataset] = {CANDLES.name: CANDLES}

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
