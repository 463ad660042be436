"""A server that speaks the protocol of KIS over TCP, with its own market and exact ledger."""
