"""Joins row blocks of the engine into one answer of the format that was asked for.

The engine encodes each block as a complete document. Blocks of formats without header and footer
simply follow each other; Arrow has both, so its blocks are taken apart and joined here; any other
format cannot be joined and is written by the engine into a file.
"""

from collections.abc import Iterator

import pyarrow as pa

CONCATENATED = {
    name.lower(): name
    for name in (
        "Native", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary",
        "JSONEachRow", "JSONCompactEachRow", "JSONStringsEachRow", "JSONLines", "NDJSON",
        "LineAsString", "RawBLOB", "MsgPack", "Null", "Vertical",
    )
}  # fmt: skip
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def joined(output: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Join blocks in one of the formats that `is_joinable`; yields nothing if there are none."""
    kind = output.lower()
    if kind == "arrowstream":
        return _arrow_stream(blocks)
    if kind == "arrow":
        return _arrow_file(blocks)
    return blocks


def is_joinable(output: str) -> bool:
    """Tell whether blocks of the format can be joined as they come."""
    return output.lower() in CONCATENATED or is_arrow(output)


def is_arrow(output: str) -> bool:
    """Tell whether an answer without rows still has bytes, its schema."""
    return output.lower() in {"arrow", "arrowstream"}


def _arrow_stream(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Keep the schema of the first block, the batches of all, and one end.

    A message is a marker of four bytes, the length of its metadata, the metadata and a body. The
    first message is the schema, which has no body, so its length is known without reading it.
    """
    is_first = True
    for block in blocks:
        if not block.endswith(_END_OF_STREAM):
            raise ValueError("the engine sent an Arrow block without its end")
        schema_end = 8 + int.from_bytes(block[4:8], "little")
        yield block[0 if is_first else schema_end : -len(_END_OF_STREAM)]
        is_first = False
    if not is_first:
        yield _END_OF_STREAM


class _Sink:
    """Collects what a writer writes until somebody takes it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.closed = False

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _arrow_file(blocks: Iterator[bytes]) -> Iterator[bytes]:
    sink = _Sink()
    writer = None
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    for block in blocks:
        with pa.ipc.open_file(pa.py_buffer(block)) as reader:
            if writer is None:
                target = pa.PythonFile(sink, mode="w")
                writer = pa.ipc.new_file(target, reader.schema, options=options)
            for number in range(reader.num_record_batches):
                writer.write_batch(reader.get_batch(number))
        yield sink.take()
    if writer is not None:
        writer.close()
        yield sink.take()
