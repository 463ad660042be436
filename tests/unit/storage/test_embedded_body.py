"""Bodies of requests: any compression that is accepted, whole or not at all."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import lz4.frame
import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.embedded.clickhouse.body import MEMORY_BYTES_MAX, BodyError, receive

LIMIT = 64 << 20
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "lz4": lz4.frame.compress,
}


def _parts(body: bytes, size: int) -> Iterator[bytes]:
    yield from (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
@given(body=st.binary(max_size=3000), size=st.integers(1, 700), frames=st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_receive_when_compressed_then_the_body_is_what_was_sent(
    encoding: str, body: bytes, size: int, frames: int, tmp_path: Path
) -> None:
    """However a body is cut into parts and frames, it arrives unchanged."""
    # One zlib stream has no second frame; the other encodings may be concatenated.
    frames = 1 if encoding == "deflate" else frames
    sent = COMPRESS[encoding](body) * frames

    with receive(_parts(sent, size), encoding, tmp_path, LIMIT) as received:
        assert received.read() == body * frames


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_receive_when_it_expands_enormously_then_memory_and_limit_hold(
    encoding: str, tmp_path: Path
) -> None:
    """A small body that expands to 32 MB is spooled; with a lower limit it is refused."""
    body = bytes(4 * MEMORY_BYTES_MAX)
    sent = COMPRESS[encoding](body)

    with receive(iter((sent,)), encoding, tmp_path, LIMIT) as received:
        assert len(received.read()) == len(body)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BodyError, match="larger than") as refusal:
        receive(iter((sent,)), encoding, tmp_path, len(body) - 1)
    assert refusal.value.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_receive_when_compression_is_cut_then_it_is_refused(
    encoding: str, kept: float, tmp_path: Path
) -> None:
    """A torn upload is an error, never a shorter body."""
    sent = COMPRESS[encoding](bytes(range(256)) * 40)

    with pytest.raises(BodyError):
        receive(iter((sent[: int(len(sent) * kept)],)), encoding, tmp_path, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_receive_when_it_is_not_compressed_then_it_is_refused(
    encoding: str, tmp_path: Path
) -> None:
    """Bytes that are not what the header says are named as such."""
    with pytest.raises(BodyError, match=encoding):
        receive(iter((b"INSERT INTO t VALUES (1)",)), encoding, tmp_path, LIMIT)


def test_receive_when_the_encoding_is_unknown_then_accepted_ones_are_named(tmp_path: Path) -> None:
    """The refusal says what would be accepted."""
    with pytest.raises(BodyError, match="zstd, lz4, gzip, deflate") as refusal:
        receive(iter((b"x",)), "br", tmp_path, LIMIT)
    assert refusal.value.status == 415
