"""The simulated Binance: combined streams and public REST over TCP, from a capture or made up."""
