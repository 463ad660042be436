"""The engine's rig, loaded once."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def rigs() -> ModuleType:
    """The module `tests/reference/engine_rig.py`."""
    name = "engine_rig"
    if name not in sys.modules:
        path = Path(__file__).parents[3] / "reference" / "engine_rig.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
