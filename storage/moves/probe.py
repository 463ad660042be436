"""Try a volume from a process of its own: a hung network mount can be killed, not cancelled.

`python -m storage.moves.probe ROOT` prints one JSON document with what stands in the marker file
and how much space there is, after a small file was written, flushed, read and removed.
"""

import json
import os
import sys
import uuid
from pathlib import Path

MARKER = ".jts-volume"


def examine(root: Path) -> dict[str, object]:
    """Return the volume id in the marker (empty without one), free and total bytes."""
    marker = root / MARKER
    try:
        volume = marker.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return {"volume": "", "free": 0, "total": 0}
    trial = root / f".probe-{uuid.uuid4().hex}"
    try:
        with trial.open("xb") as file:
            file.write(b"jts")
            file.flush()
            os.fsync(file.fileno())
        trial.read_bytes()
    finally:
        trial.unlink(missing_ok=True)
    space = os.statvfs(root)
    return {
        "volume": volume,
        "free": space.f_bavail * space.f_frsize,
        "total": space.f_blocks * space.f_frsize,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(Path(sys.argv[1]))))
