"""Commands that need a broker, the journal or the bus."""
