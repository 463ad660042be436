"""The trading inputs of an instance as a file: what Dagster or the configuration made last.

`<home>/trading/inputs.json` is what a role reads when it starts; changes reach it on the topic
`trading.inputs`. The file is replaced at once, so a reader sees an old or a new document, whole.
"""

import os
import tempfile
from pathlib import Path

import msgspec

from jts_trading.config.source import ConfigError, ConfigSource
from jts_trading.config.trading import StrategyInstance, load_trading
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput, TradingInputs

CONFIGURED = "configuration"


def inputs_file(home: Path) -> Path:
    """Return where the inputs of a data root are."""
    return home / "trading" / "inputs.json"


def read_inputs(home: Path) -> TradingInputs | None:
    """Return the inputs of a data root, or None before any were written.

    Raises:
        ConfigError: The file is no such document.
    """
    path = inputs_file(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=TradingInputs)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{path}: no trading inputs ({error}); remove it") from error


def write_inputs(home: Path, inputs: TradingInputs) -> None:
    """Replace the inputs of a data root at once: a crash leaves the old or the new ones."""
    path = inputs_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(inputs), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def configured_inputs(source: ConfigSource, *, version: int, created_ns: int) -> TradingInputs:
    """Return the inputs that the sections `trading` and `risk` describe.

    Args:
        source: Of this installation.
        version: Of the document; grows with each.
        created_ns: Instance time, UTC ns.

    Raises:
        ConfigError: A section, a text or an instance cannot be used; the key is named.
    """
    settings = load_trading(source)
    instances = [
        _resolve(each, f"{source.origin('trading.instances')}: trading.instances[{at}]")
        for at, each in enumerate(settings.instances)
    ]
    return TradingInputs(
        version=version,
        created_ns=created_ns,
        source=CONFIGURED,
        instances=tuple(instances),
        risk=source.load(RiskLimits, "risk"),
    )


def current_inputs(home: Path, source: ConfigSource, *, created_ns: int) -> TradingInputs:
    """Return the inputs to trade now, and write them if the configuration changed.

    What Dagster published stays, whatever the configuration says; what came from an older
    configuration is replaced by a new version.

    Raises:
        ConfigError: File or configuration cannot be used, or an instance trades a text that is
            not released although the configuration asks for that.
    """
    found = read_inputs(home)
    if found is not None and found.source != CONFIGURED:
        require_releases(home, source, found)
        return found
    made = configured_inputs(
        source, version=found.version + 1 if found else 1, created_ns=created_ns
    )
    require_releases(home, source, made)
    if found is not None and (found.instances, found.risk) == (made.instances, made.risk):
        return found
    write_inputs(home, made)
    return made


def require_releases(home: Path, source: ConfigSource, inputs: TradingInputs) -> None:
    """Refuse texts that are not released, where the configuration asks for that.

    Raises:
        ConfigError: An instance that may enter trades one.
    """
    if load_trading(source).requires_approval:
        from jts_trading.ports.approvals import require_released

        require_released(home, inputs.instances)


def _resolve(instance: StrategyInstance, where: str) -> StrategyInput:
    # Every role reads the file; only who makes a new one needs the compiler.
    from jts_trading.dsl.errors import StrategyError
    from jts_trading.dsl.grammar import TEXT_BYTES_MAX
    from jts_trading.strategy.releases import ReleaseError, release

    wanted = StrategyInput(
        instance=instance.name,
        strategy_id="",
        release="",
        dsl_code="",
        params={name: str(value) for name, value in instance.params.items()},
        broker=instance.broker,
        account=instance.account,
        venue=instance.venue,
        interval=instance.interval,
        instrument_ids=instance.instruments,
        allocation=instance.allocation,
        currency=instance.currency,
        epoch=instance.epoch,
        status=instance.status,
    )
    try:
        with Path(instance.strategy).open("rb") as file:
            # One byte more than is accepted is enough to refuse a text by its size.
            text = file.read(TEXT_BYTES_MAX + 1)
        return release(text, wanted, file=instance.strategy)
    except OSError as error:
        what = f"{instance.strategy}: {error.strerror}"
        raise ConfigError(f"{where}.strategy: {what}") from error
    except StrategyError as error:
        raise ConfigError(f"{where}.strategy: {error}") from error
    except ReleaseError as error:
        raise ConfigError(f"{where}: {error}") from error
