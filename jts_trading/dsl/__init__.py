"""Strategy text to generated source: grammar, syntax, check, plan, source. Pure."""
