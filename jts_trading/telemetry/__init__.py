"""Structured logs, metrics and correlation ids."""
