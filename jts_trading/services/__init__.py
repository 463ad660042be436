"""Async shells that meet only on bus and journal."""
