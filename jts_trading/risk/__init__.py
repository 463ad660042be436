"""Limits, drawdown, kill switch. Pure."""
