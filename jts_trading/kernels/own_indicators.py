"""The user's own indicators: Python files of a configured folder, each with definitions.

A file defines steps and their definitions as `jts_trading.indicators` does, and names them in
`INDICATORS`:

    from jts_trading.indicators.definition import CLOSE, VALUE, Definition, period, whole

    def my_average_step(state, at, period, x):
        ...

    INDICATORS = (Definition(name="MyAverage", ..., step=my_average_step),)

The files are the user's programs and are executed; their steps are checked (`step_rules`) before
they are compiled into strategies. A strategy that uses one carries the text of the step in its
digest: a changed step is another release.
"""

import importlib.util
import sys
from pathlib import Path

from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.indicators.definition import Definition
from jts_trading.kernels.step_rules import OwnIndicatorError, check_definition
from jts_trading.kernels.windowed import WideCatalog

LIST = "INDICATORS"


def load_catalog(folder: Path | None) -> Catalog:
    """Return the native indicators, those of a folder, and the library's behind them.

    Args:
        folder: Where the files are; None for the native indicators only. Files whose name begins
            with an underscore are left out.

    Raises:
        OwnIndicatorError: The folder or a file cannot be read, a file fails, an indicator cannot
            be used, or its name is taken. The message names the file.
    """
    if folder is None:
        return WideCatalog(NATIVE.definitions.values())
    if not folder.is_dir():
        raise OwnIndicatorError(f"{folder}: is no folder of indicators")
    own: list[Definition] = []
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            own += _read(path)
    try:
        return WideCatalog((*NATIVE.definitions.values(), *own))
    except ValueError as error:
        raise OwnIndicatorError(f"{folder}: {error}") from error


def _read(path: Path) -> tuple[Definition, ...]:
    name = f"jts_own_indicators_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise OwnIndicatorError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # The text of a step is found by the module that it stands in.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise OwnIndicatorError(f"{path}: {type(error).__name__}: {error}") from error
    found = getattr(module, LIST, None)
    if not isinstance(found, tuple):
        raise OwnIndicatorError(f"{path}: has no tuple {LIST} of definitions")
    for definition in found:
        try:
            check_definition(definition)
        except OwnIndicatorError as error:
            raise OwnIndicatorError(f"{path}: {error}") from error
    return found
