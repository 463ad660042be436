"""What the daemon trades, made by Dagster: universe, releases, warm-up and limits."""
