"""Typed configuration from `jts.toml` and `JTS_...` variables: the bottom room."""
