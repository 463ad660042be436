"""REST and WebSocket API, sign-in, dashboard."""
