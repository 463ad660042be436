"""The simulated exchange and the seeded world."""
