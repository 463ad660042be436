"""Thin Dagster assets, checks, partitions, schedules and sensors, by subject."""
