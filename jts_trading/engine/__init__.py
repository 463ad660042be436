"""step(state, event, now_ns) -> effects. Pure."""
