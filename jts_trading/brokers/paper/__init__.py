"""The paper broker: real market data, no real orders, exact books of its own."""
