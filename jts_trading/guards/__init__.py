"""Rate limits, breakers and deadlines that wrap a port."""
