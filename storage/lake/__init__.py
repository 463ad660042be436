"""scan(dataset, ...) over the three tiers, and one read-only SQL over the same views."""
