"""Research over many runs: trials and their ledger, hold-outs, sweeps, overfitting."""
