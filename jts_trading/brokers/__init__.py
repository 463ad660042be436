"""One folder per broker, the same file names in each."""
