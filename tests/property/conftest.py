"""Fixtures of the generated tests."""

from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EMPTY = np.empty


@wraps(EMPTY)
def rubbish(*arguments: Any, **options: Any) -> Any:
    """Return an array whose elements nobody has set."""
    found = EMPTY(*arguments, **options)
    if found.dtype.kind in "iufb":
        found.fill(np.frombuffer(b"\xa5" * found.itemsize, found.dtype)[0])
    return found


@pytest.fixture(scope="module", params=["fast", "checked"], name="kernels")
def kernels_of_both_forms(request: pytest.FixtureRequest, kernels: Path) -> Iterator[Path]:
    """Compiled code, shared by the tests of a run.

    Whoever asks for it runs twice: as users run it, and in the form in which an index outside of
    its array, a number that does not fit, or a variable without a value is an error. There room
    that is made for results is full of rubbish, which nobody may read.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JTS_CHECKED_KERNELS", "1" if request.param == "checked" else "")
        if request.param == "checked":
            patch.setattr(np, "empty", rubbish)
        yield kernels
