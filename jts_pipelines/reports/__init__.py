"""Tear sheets. No Dagster import."""
