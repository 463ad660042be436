"""Writes generated source to the kernel cache, compiles it and hands the function in."""
