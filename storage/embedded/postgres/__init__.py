"""PostgreSQL 18 from wheels, on a Unix socket in a private directory.

`python -m storage.embedded.postgres --path DIR --socket-dir DIR` prepares a cluster, runs the
wheel's `postgres` in the foreground, creates the databases `dagster` and `jts`, and stops it
cleanly on SIGTERM. Anyone who can reach the socket is the superuser, so the socket's directory has
mode 0700 and no TCP port is opened.
"""
