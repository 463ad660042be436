"""Candles of each venue and interval: partitions, asset, checks, landing folder."""
