"""Data at rest: a library without Dagster, without trading, without market rules of its own."""
