"""Reference facts: the calendars."""
