"""Records ticks, gaps and what the journal says into the hot tier."""
