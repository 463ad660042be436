"""Benchmarks: which rows there are, who runs in each, and what is printed."""
