"""Positions and results from fills. Pure."""
