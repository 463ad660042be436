"""Korea Investment & Securities (KIS) Open API: domestic stocks over REST and WebSocket."""
