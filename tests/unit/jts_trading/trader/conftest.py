"""The trader's rig, loaded once."""

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def trader_rigs() -> ModuleType:
    """The module `tests/reference/trader_rig.py`."""
    name = "trader_rig"
    if name not in sys.modules:
        path = Path(__file__).parents[3] / "reference" / "trader_rig.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def play(trader_rigs: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """Run a scenario with a new `Trial` and return what it returns."""

    def go(scenario: Callable[[Any], Any], home: Path = tmp_path, **how: Any) -> Any:
        async def within() -> Any:
            return await scenario(trader_rigs.Trial(home, **how))

        return asyncio.run(within())

    return go
