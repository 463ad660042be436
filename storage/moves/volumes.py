"""Is the volume under a tier the right one, alive, and large enough?

An unmounted NAS leaves an empty folder behind that takes every write. So each tier carries a
marker file with a volume id that is also remembered beside the manifests; without the right
marker nothing is written. The trial runs in a process of its own with a time limit, because a
hung network call cannot be cancelled.
"""

import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from storage.errors import RefusedError
from storage.manifest.durable import atomic_write
from storage.moves import probe
from storage.moves.probe import MARKER
from storage.schema.tiers import Tier, TierSettings

PROBE_SECONDS = 5.0
_REMEMBERED = "volumes.json"


@dataclass(frozen=True, slots=True)
class Space:
    """What a trial found: bytes free and in all."""

    free: int
    total: int


class Volumes:
    """The roots of warm and cold.

    Args:
        settings: Where the tiers are and how much room a move needs.
        home: Data root of the instance.
        probe_seconds: Real seconds that a trial may take.
    """

    def __init__(
        self, settings: TierSettings, home: Path, *, probe_seconds: float = PROBE_SECONDS
    ) -> None:
        self._settings = settings
        self._home = home
        self._probe_seconds = probe_seconds
        self._memory = settings.path(home, "manifests") / _REMEMBERED

    def root(self, tier: Tier) -> Path:
        """Return the root folder of warm or cold."""
        return self._settings.path(self._home, tier.value)

    @property
    def quarantine(self) -> Path:
        """Folder for what must not be served."""
        return self._settings.path(self._home, "quarantine")

    def require(self, tier: Tier, expected_bytes: int) -> None:
        """Make sure that a move of this size can go to a tier; the first use marks the volume.

        Raises:
            RefusedError: The volume is another one or not mounted, does not answer in time, or
                has too little room. Nothing was written.
        """
        root = self.root(tier)
        known = self._known()
        if tier.value not in known:
            known = self._adopt(tier, root, known)
        space = self._space(tier, root, known[tier.value])
        needed = expected_bytes * self._settings.space_factor
        reserve = space.total * self._settings.reserve_share
        if space.free - needed < reserve:
            raise RefusedError(
                f"{tier} at {root}: {space.free} bytes are free, the move needs {needed:.0f} "
                f"beside a reserve of {reserve:.0f}"
            )

    def _known(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._memory.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}

    def _adopt(self, tier: Tier, root: Path, known: dict[str, str]) -> dict[str, str]:
        outside = not root.is_relative_to(self._home)
        if outside and not root.is_dir():
            raise RefusedError(f"{tier} at {root}: not mounted, there is no such folder")
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        marker = root / MARKER
        if not marker.exists():
            atomic_write(marker, uuid.uuid4().hex.encode() + b"\n")
        known = {**known, tier.value: marker.read_text(encoding="ascii").strip()}
        self._memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic_write(self._memory, msgspec.json.encode(known))
        return known

    def _space(self, tier: Tier, root: Path, expected: str) -> Space:
        found = self._try(tier, root)
        if found["volume"] != expected:
            volume = str(found["volume"])
            seen = f"volume {volume[:12]}" if volume else "no marker"
            raise RefusedError(
                f"{tier} at {root}: {seen} where volume {expected[:12]} belongs; is it mounted?"
            )
        return Space(int(str(found["free"])), int(str(found["total"])))

    def _try(self, tier: Tier, root: Path) -> dict[str, object]:
        # By file and without site packages: it starts in a quarter of the time, for every move.
        command = [sys.executable, "-I", "-S", probe.__file__, str(root)]
        try:
            answer = subprocess.run(
                command, capture_output=True, timeout=self._probe_seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise RefusedError(
                f"{tier} at {root}: no answer in {self._probe_seconds:g} s; is the mount hung?"
            ) from error
        if answer.returncode != 0:
            last = answer.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise RefusedError(f"{tier} at {root}: trial write failed: {last[:200]}")
        return msgspec.json.decode(answer.stdout, type=dict[str, object])
