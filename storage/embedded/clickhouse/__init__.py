"""ClickHouse's engine (chDB) behind ClickHouse's HTTP interface, in one owner process.

`python -m storage.embedded.clickhouse --path DIR --port N` opens the engine at DIR and answers on
loopback, well enough for the unmodified clickhouse-connect client, sync and async.

What differs from a real server:

* A request has a fresh engine handle: `database` and settings count for that request only.
  `session_id` is accepted and ignored, so `SET`, `USE` and temporary tables do not outlive a
  request. External data (`external_data=`) works, because it needs one request only.
* Settings of a request reach the engine. A load whose blocks span more than 100 partitions says
  `max_partitions_per_insert_block=0`; a drop of more than 50 GB `max_partition_size_to_drop=0`.
* Responses are not compressed: the client sits on the same machine. Request bodies may be
  compressed with zstd, lz4, gzip or deflate, not with brotli.
* A body is received whole (in memory up to 8 MiB, then in an unlinked file) before the engine sees
  it: a torn upload inserts nothing. A row block of at most about one million rows is atomic, as
  everywhere in ClickHouse.
* Data go into the engine by `FROM INFILE` of that file, which reports every error.
* Row formats stream in chunks with bounded memory. Formats with a frame around all rows (JSON,
  Parquet, ...) are written to an unlinked file first.
* No users, roles, quotas, progress headers, `/play`, or native protocol. One password for user
  `default` may be set. Requests of web pages (with an `Origin`) and for foreign hosts are refused.
* `INSERT ... SELECT ... FROM input(...) FORMAT ...` with data in the body is not supported.
"""
