"""Orchestration: Dagster assets over the storage library, backtests, reports, the jts command."""
