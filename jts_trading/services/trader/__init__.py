"""The trader: ticks in, bars, signals and sized intents out."""
