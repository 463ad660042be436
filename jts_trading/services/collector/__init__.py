"""The collector: frames off sockets, kept, decoded, judged, and published once."""
