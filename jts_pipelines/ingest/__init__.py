"""CSV and Parquet files into the hot tier. No Dagster import."""
