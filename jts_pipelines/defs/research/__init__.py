"""Backtests and tear sheets."""
