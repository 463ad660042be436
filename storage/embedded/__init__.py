"""The default servers, from wheels: ClickHouse engine behind HTTP, PostgreSQL, Redis."""
