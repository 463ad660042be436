"""PostgreSQL DDL, migrations and read-only views of journal and ledger."""
