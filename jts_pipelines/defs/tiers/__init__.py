"""Moves between the tiers as assets, and the nightly schedule."""
