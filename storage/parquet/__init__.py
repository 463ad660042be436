"""Parquet files with digests and page checksums, written once and published atomically."""
