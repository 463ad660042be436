"""What the daemon recorded: external assets, reported when a trading day has closed."""
