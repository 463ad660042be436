"""The hot tier: ClickHouse over HTTP, the same client for the embedded and the real server."""
