"""Push, e-mail and chat messages."""
