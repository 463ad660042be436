"""Numbered records in files: whole ones survive anything, and counting goes on."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.market_store.frames import FrameKeeper, KeptFrame, read_frames
from jts_trading.market_store.segments import (
    SegmentError,
    SegmentLog,
    SegmentSettings,
    list_segments,
    read_records,
)

SMALL = SegmentSettings(segment_bytes=200, retained_bytes=1 << 20)


def write(directory: Path, payloads: list[bytes], sizes: SegmentSettings = SMALL) -> None:
    """Append and close."""
    log = SegmentLog(directory, sizes)
    for payload in payloads:
        log.append(payload)
    log.close()


def test_records_when_log_is_reopened_then_numbers_go_on(tmp_path: Path) -> None:
    """Numbers begin at 1 and have no gaps, over segments, restarts and packing."""
    for start in range(0, 60, 20):
        log = SegmentLog(tmp_path, SMALL)
        assert log.next_number == start + 1
        for number in range(start, start + 20):
            assert log.append(b"payload %d" % number) == number + 1
        log.compact()
        log.close()

    kinds = {segment.is_packed for segment in list_segments(tmp_path)}
    records = list(read_records(tmp_path))

    assert kinds == {True, False}
    assert records == [(n + 1, b"payload %d" % n) for n in range(60)]
    assert list(read_records(tmp_path, 31, 33)) == records[30:33]


@pytest.mark.parametrize("cut", range(1, 25))
def test_tail_when_torn_then_cut_at_the_last_whole_record(tmp_path: Path, cut: int) -> None:
    """Whatever part of the last record is missing, exactly that record is gone."""
    write(tmp_path, [b"one", b"two", b"three"], SegmentSettings())
    (segment,) = list_segments(tmp_path)
    whole = segment.path.read_bytes()
    segment.path.write_bytes(whole[:-cut] if cut <= 20 else whole[: -(16 + 5)])

    log = SegmentLog(tmp_path, SegmentSettings())
    assert log.append(b"again") == 3
    log.close()

    assert [payload for _, payload in read_records(tmp_path)] == [b"one", b"two", b"again"]


def test_tail_when_garbage_follows_then_it_is_cut(tmp_path: Path) -> None:
    """Bytes that are no record end the log before them."""
    write(tmp_path, [b"one"], SegmentSettings())
    (segment,) = list_segments(tmp_path)
    with segment.path.open("ab") as file:
        file.write(b"\xff" * 40)

    log = SegmentLog(tmp_path, SegmentSettings())
    log.append(b"two")
    log.close()

    assert [payload for _, payload in read_records(tmp_path)] == [b"one", b"two"]


def test_log_when_first_segment_has_no_magic_then_it_begins_anew(tmp_path: Path) -> None:
    """A kill right after the file was made leaves an empty one."""
    (tmp_path / f"{1:020d}.log").touch()

    log = SegmentLog(tmp_path, SegmentSettings())
    assert log.append(b"one") == 1
    log.close()

    assert list(read_records(tmp_path)) == [(1, b"one")]


def test_packing_when_killed_half_way_then_nothing_is_lost(tmp_path: Path) -> None:
    """A packed file is only there when it is whole; its plain twin may still be."""
    write(tmp_path, [b"x" * 150] * 4)
    first = list_segments(tmp_path)[0].path
    plain = first.read_bytes()
    (tmp_path / "00000000000000000001.tmp").write_bytes(b"half")
    SegmentLog(tmp_path, SMALL).compact()
    first.write_bytes(plain)

    assert len(list(read_records(tmp_path))) == 4
    assert list_segments(tmp_path)[0].is_packed


def test_retention_when_exceeded_then_oldest_segments_go(tmp_path: Path) -> None:
    """Closed segments stay within the bytes that are kept; numbers go on."""
    log = SegmentLog(tmp_path, SegmentSettings(segment_bytes=200, retained_bytes=300))
    for number in range(50):
        log.append(b"%d" % number * 50)
    log.compact()
    log.close()

    numbers = [number for number, _ in read_records(tmp_path)]

    assert numbers == list(range(numbers[0], 51))
    assert numbers[0] > 1
    sizes = [s.path.stat().st_size for s in list_segments(tmp_path)[:-1]]
    assert sum(sizes) <= 300


def test_closed_segment_when_damaged_then_reading_says_where(tmp_path: Path) -> None:
    """A flipped bit in a packed segment is an error that names the file, not silence."""
    log = SegmentLog(tmp_path, SMALL)
    for number in range(20):
        log.append(b"%d" % number * 20)
    log.compact()
    log.close()
    damaged = list_segments(tmp_path)[0].path
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0x10
    damaged.write_bytes(content)

    with pytest.raises(SegmentError, match=damaged.name):
        list(read_records(tmp_path))


def test_numbers_when_skipped_then_the_hole_is_no_damage(tmp_path: Path) -> None:
    """Numbers that were given and lost are left out; what is kept can be read."""
    log = SegmentLog(tmp_path, SMALL)
    log.skip_to(5)
    assert log.append(b"five") == 5
    log.skip_to(9)
    log.skip_to(2)
    assert log.append(b"nine") == 9
    log.close()

    assert list(read_records(tmp_path)) == [(5, b"five"), (9, b"nine")]
    assert list(read_records(tmp_path, 6, 8)) == []
    assert SegmentLog(tmp_path, SMALL).next_number == 10


def test_closed_segment_when_cut_then_reading_says_where(tmp_path: Path) -> None:
    """A plain segment that others follow has to end where a record does."""
    write(tmp_path, [b"x" * 150] * 4)
    closed = list_segments(tmp_path)[0].path
    closed.write_bytes(closed.read_bytes()[:-1])

    with pytest.raises(SegmentError, match="not whole"):
        list(read_records(tmp_path))


def test_log_when_written_by_two_then_the_second_is_refused(tmp_path: Path) -> None:
    """Two collectors of one feed would number frames twice."""
    log = SegmentLog(tmp_path, SMALL)
    with pytest.raises(SegmentError, match="another process"):
        SegmentLog(tmp_path, SMALL)
    log.close()
    SegmentLog(tmp_path, SMALL).close()


@settings(max_examples=100, deadline=None)
@given(frames=st.lists(st.tuples(st.binary(max_size=80), st.integers(0, 9)), max_size=40))
def test_frames_when_read_back_then_every_byte_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[bytes, int]]
) -> None:
    """What arrived is what is read, in order, whatever its bytes are."""
    directory = tmp_path_factory.mktemp("frames")
    keeper = FrameKeeper(directory, SMALL)
    for raw, session in frames:
        keeper.keep(raw, session, session * 1000)
    expected = [KeptFrame(n, s, s * 1000, raw) for n, (raw, s) in enumerate(frames, 1)]

    assert list(read_frames(directory)) == expected
    assert keeper.last() == (expected[-1] if expected else None)
    keeper.close()
