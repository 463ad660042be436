"""Market data in and out of the hot tier."""
