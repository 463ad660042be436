"""Binance spot: market data streams and public REST; orders are not built yet."""
