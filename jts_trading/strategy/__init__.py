"""Releases and the sizing of signals into intents. Pure."""
