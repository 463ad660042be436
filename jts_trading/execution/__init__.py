"""Order life cycle, routing, accounts. Pure."""
