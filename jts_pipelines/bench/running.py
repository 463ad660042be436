"""Runs the engines of a case, each in a process of its own, one after another."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jts_pipelines.bench.rows import ENGINES, SCRIPTS, Case, Engine, Market
from storage.errors import InputError

_LONGEST_S = 3_600
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one engine said of itself: the JSON line of its script."""

    engine: str
    figures: dict[str, Any]

    def get(self, name: str) -> float | None:
        """Return a figure, or None where the engine has none of it."""
        found = self.figures.get(name)
        return None if found is None else float(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where a bench works.

    Attributes:
        folder: Generated inputs and compiled code; made if it does not exist.
        peers: An interpreter that has `benchmarks/requirements.txt`.
        repeats: Runs after a first one that does not count.
        say: Told what happens.
    """

    folder: Path
    peers: Path
    repeats: int
    say: Say

    def run(self, case: Case, only: frozenset[str]) -> list[Measured]:
        """Run the engines of a case; those that fail are told and left out.

        Raises:
            InputError: A market cannot be written.
        """
        path = self._market(case.market) if case.market else Path(os.devnull)
        found = []
        for engine in case.engines:
            if only and engine.name not in only:
                continue
            self.say(f"{case.name}: {engine.name}")
            figures = self._figures(case, engine, path)
            if figures is not None:
                found.append(Measured(engine.name, figures))
        return found

    def _figures(self, case: Case, engine: Engine, path: Path) -> dict[str, Any] | None:
        python = self.peers if engine.is_peer else Path(sys.executable)
        cache = () if engine.is_peer else (str(self.folder / "kernels"),)
        words = [case.name, str(path), str(self.repeats), *cache, *engine.arguments]
        done = subprocess.run(
            [str(python), str(ENGINES / engine.script), *words],
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            self.say(f"{case.name}: {engine.name} failed: {last}")
            return None
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return figures

    def _market(self, market: Market) -> Path:
        path = self.folder / market.file
        if not path.is_file():
            self.say(f"writing {path.name}")
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".unfinished")
            done = subprocess.run(
                [
                    *(sys.executable, str(SCRIPTS / "market.py"), str(unfinished)),
                    *(str(market.symbols), str(market.bars), str(market.seed)),
                    market.first.isoformat(),
                ],
                capture_output=True,
                text=True,
                timeout=_LONGEST_S,
                check=False,
            )
            if done.returncode:
                raise InputError(f"{path.name} cannot be written: {done.stderr.strip()[-300:]}")
            unfinished.replace(path)
        return path


def peers_python(folder: Path, say: Say) -> Path:
    """Return the interpreter of the peers' environment, which is made when it is not there.

    Raises:
        InputError: The peers cannot be installed.
    """
    python = folder / "bin" / "python"
    marker = folder / ".complete"
    wanted = (SCRIPTS / "requirements.txt").read_text(encoding="utf-8")
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return python
    say(f"installing the peers into {folder}")
    venv.create(folder, with_pip=True, clear=True)
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "-r", str(SCRIPTS / "requirements.txt")],
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    if done.returncode:
        raise InputError(f"the peers cannot be installed: {done.stderr.strip()[-300:]}")
    marker.write_text(wanted, encoding="utf-8")
    return python
