"""The real embedded servers for the contract suites: the fixtures of the integration tests."""

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).resolve().parents[1] / "integration" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("contract_servers", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_SERVERS = importlib.util.module_from_spec(_SPEC)
# Dataclasses look their module up by its name.
sys.modules[_SPEC.name] = _SERVERS
_SPEC.loader.exec_module(_SERVERS)

servers_home = _SERVERS.servers_home
postgres_server_dsn = _SERVERS.postgres_server_dsn
postgres_dsn = _SERVERS.postgres_dsn
redis_server_url = _SERVERS.redis_server_url
clickhouse_url = _SERVERS.clickhouse_url
redis_url = _SERVERS.redis_url
