"""Order journal and ledger in PostgreSQL."""
