"""Export, verify, evict, restore: the only code that deletes market data."""
