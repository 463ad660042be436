"""Runs the engines of a case, each in a process of its own, one after another."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jts_pipelines.bench.environments import python_of
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
        folder: Generated inputs, compiled code and the peers' environments; made if it does not
            exist.
        repeats: Runs after a first one that does not count.
        say: Told what happens.
    """

    folder: Path
    repeats: int
    say: Say

    def run(self, case: Case, only: frozenset[str]) -> list[Measured]:
        """Run the engines of a case, one after another; one that fails has its error.

        Raises:
            InputError: A market cannot be written.
        """
        path = self._market(case.market) if case.market else Path(os.devnull)
        found = []
        for engine in case.engines:
            if not only or engine.name in only:
                self.say(f"{case.name}: {engine.name}")
                found.append(Measured(engine.name, self._figures(case, engine, path)))
        return found

    def _figures(self, case: Case, engine: Engine, path: Path) -> dict[str, Any]:
        try:
            python = self._python(engine)
        except (InputError, OSError) as error:
            return {"error": str(error)}
        words = [case.name, str(path), str(self.repeats), str(self.folder / "kernels")]
        done = subprocess.run(
            [str(python), str(ENGINES / engine.script), *words, *engine.arguments],
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        if done.returncode:
            return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return figures

    def _python(self, engine: Engine) -> Path:
        if not engine.environment:
            return Path(sys.executable)
        return python_of(engine.environment, self.folder / "peers", self.say)

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
