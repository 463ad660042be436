"""Instruments, money, clock, sessions, the one dated rule table, errors. Pure."""
