"""Validation of rows, the closed list of quarantine reasons, coverage and gaps."""
