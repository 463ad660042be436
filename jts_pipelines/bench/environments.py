"""Environments of the peers: made when they are first needed, each in a folder of its own."""

import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

from jts_pipelines.bench.rows import SCRIPTS
from storage.errors import InputError

_LONGEST_S = 3_600
_MARK = "# environment: "


def requirements_of(environment: str) -> str:
    """Return the part of `benchmarks/requirements.txt` that an environment consists of.

    Raises:
        InputError: There is none of that name.
    """
    text = (SCRIPTS / "requirements.txt").read_text(encoding="utf-8")
    for part in text.split(_MARK)[1:]:
        name, _, lines = part.partition("\n")
        if name.strip() == environment:
            return lines.strip() + "\n"
    raise InputError(f"benchmarks/requirements.txt has no environment {environment}")


def python_of(environment: str, folder: Path, say: Callable[[str], None]) -> Path:
    """Return the interpreter of an environment, which is made when it is not there.

    Raises:
        InputError: It cannot be installed.
    """
    home = folder / environment
    python, marker = home / "bin" / "python", home / ".complete"
    wanted = requirements_of(environment)
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return python
    say(f"installing {environment} into {home}")
    venv.create(home, with_pip=True, clear=True)
    listed = home / "requirements.txt"
    listed.write_text(wanted, encoding="utf-8")
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "-r", str(listed)],
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1] if lines else done.stderr.strip()[-300:]
        raise InputError(f"{environment} cannot be installed: {reason}")
    marker.write_text(wanted, encoding="utf-8")
    return python
