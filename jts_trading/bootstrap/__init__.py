"""The one place that builds a daemon: settings, stores, roles, and who keeps a role running."""
