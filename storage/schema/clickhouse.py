"""ClickHouse tables of a dataset, for one node and for a cluster.

One hot table serves all venues, so prices stand at eight decimals there; `schema.arrow` brings
them back to the venue's scale. The partition is (venue, interval, period): a day of finer bars,
a month of daily ones. That makes a partition of the lake one partition of the table.
"""

from storage.schema.datasets import Column, Dataset, Kind

_CODECS = {
    Kind.TIMESTAMP_MS: "CODEC(DoubleDelta, ZSTD(1))",
    Kind.TIMESTAMP_NS: "CODEC(DoubleDelta, ZSTD(1))",
    Kind.PRICE: "CODEC(Delta, ZSTD(1))",
    Kind.VOLUME: "CODEC(ZSTD(1))",
    Kind.MONEY: "CODEC(ZSTD(1))",
    Kind.TEXT: "CODEC(ZSTD(1))",
    Kind.COUNT: "CODEC(T64, ZSTD(1))",
    Kind.DAY: "CODEC(Delta, ZSTD(1))",
}
_TYPES = {
    Kind.TIMESTAMP_MS: "DateTime64(3, 'UTC')",
    Kind.TIMESTAMP_NS: "DateTime64(9, 'UTC')",
    Kind.DAY: "Date32",
    Kind.LABEL: "LowCardinality(String)",
    Kind.TEXT: "String",
    Kind.PRICE: "Decimal(18, 8)",
    Kind.VOLUME: "Decimal(38, 8)",
    Kind.MONEY: "Decimal(38, 8)",
    Kind.COUNT: "Int64",
    Kind.FLAG: "Bool",
}
# A batch is acknowledged to its source once it was inserted, so it must survive a power cut. Loads
# keep their source and do without.
_APPENDED = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
PERIOD = "if(interval = '1d', toStartOfMonth(trade_date), trade_date)"


def create_table(dataset: Dataset, *, table: str | None = None, cluster: str = "") -> str:
    """Return the statement that creates the hot table if it does not exist.

    Args:
        dataset: What to store.
        table: Its name when it is not the dataset's own, as for staging.
        cluster: Name of a ClickHouse cluster for the replicated form; empty for one node.
    """
    name = table or dataset.name
    where = f" ON CLUSTER '{cluster}'" if cluster else ""
    engine = f"ReplacingMergeTree({dataset.revision})"
    if cluster:
        path = f"/clickhouse/tables/{{shard}}/{name}"
        engine = f"ReplicatedReplacingMergeTree('{path}', '{{replica}}', {dataset.revision})"
    columns = ",\n    ".join(_column(column) for column in dataset.columns)
    return (
        f"CREATE TABLE IF NOT EXISTS {name}{where}\n(\n    {columns}\n)\n"
        f"ENGINE = {engine}\n"
        f"PARTITION BY (venue, interval, {PERIOD})\n"
        f"ORDER BY ({', '.join(dataset.key)})" + (f"\n{_APPENDED}" if dataset.is_appended else "")
    )


def create_distributed(dataset: Dataset, *, cluster: str) -> str:
    """Return the statement for the table that spans the shards of a cluster."""
    name = f"{dataset.name}_all"
    return (
        f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER '{cluster}' AS {dataset.name}\n"
        f"ENGINE = Distributed('{cluster}', currentDatabase(), {dataset.name}, "
        "cityHash64(venue, symbol))"
    )


def _column(column: Column) -> str:
    kind = _TYPES[column.kind]
    if column.nullable:
        kind = f"Nullable({kind})"
    codec = _CODECS.get(column.kind, "")
    return f"`{column.name}` {kind} {codec}".rstrip()
