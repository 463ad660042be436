"""Data in motion: collect, decide, check risk, execute, account, reconcile."""
