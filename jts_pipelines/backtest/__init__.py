"""Runs compiled strategies over bars. No Dagster import."""
