"""The executor: the only role that sends orders."""
