"""Try a volume from a process of its own: a hung network mount can be killed, not cancelled.

`python probe.py ROOT` prints one JSON document with what stands in the marker file
and how much space there is, after a small file was written, flushed, read and removed.
"""

import json
import os
import sys
from pathlib import Path

MARKER = ".jts-volume"


def examine(root: Path) -> dict[str, object]:
    """Return the volume id in the marker (empty without one), free and total bytes."""
    try:
        volume = (root / MARKER).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return {"volume": "", "free": 0, "total": 0}
    _write_a_little(root / f".probe-{os.getpid()}-{os.urandom(4).hex()}")
    space = os.statvfs(root)
    return {
        "volume": volume,
        "free": space.f_bavail * space.f_frsize,
        "total": space.f_blocks * space.f_frsize,
    }


def _write_a_little(trial: Path) -> None:
    try:
        with trial.open("xb") as file:
            file.write(b"jts")
            file.flush()
            os.fsync(file.fileno())
        trial.read_bytes()
    finally:
        trial.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(Path(sys.argv[1]))))
