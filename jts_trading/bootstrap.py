"""The one place that builds a daemon from its settings; empty until the first role exists."""
