"""The embedded Redis: append-only, private, gone when it is told to be."""

import pytest
import redis

pytestmark = pytest.mark.integration


def test_stream_when_added_then_it_is_read_back(redis_url: str) -> None:
    """Redis answers over its Unix socket, with the append-only file on."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.xadd("s", {"k": "v"})

        assert [entry for _, entry in client.xrange("s")] == [{"k": "v"}]
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
