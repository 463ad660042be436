"""The one dated rule table and what follows from it: ticks, limits, phases, costs, admission."""
