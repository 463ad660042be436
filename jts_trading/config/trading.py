"""The section `trading`: what the daemon trades when nothing else tells it."""

from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from jts_trading.config.source import ConfigError, ConfigSource

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "strategies"
MODES = ("paper",)
# Where neither the instance nor its broker's section names an account: the simulator's, and ours.
# An account at KIS is its eight digits and the two of the product, as the broker's notices say it.
_ACCOUNTS = {"kis": "5000000101", "paper": "paper"}
_PRODUCT = "01"
_KIS_NUMBER_DIGITS = 8
_KIS_PRODUCT = "01"


class StrategyInstance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of `[[trading.instances]]`.

    Attributes:
        name: Of the instance; its positions and limits are kept under it.
        strategy: Path of the text; a relative one is relative to the configuration file.
        params: Values that replace those of the text.
        broker: Through whom it trades: `kis` or `paper`.
        account: The account there; empty for that of the broker's section. At KIS the ten digits
            of number and product; the eight of the number alone mean product 01.
        venue: Where it trades.
        interval: Its bars where the text names no time frame: `1m`, `1s`.
        instruments: Ids such as `KRX:005930`.
        allocation: Cash of the instance, in `currency`.
        currency: `KRW`, `USDT`, ...
        epoch: First session from which its state is computed, ISO date; empty for no warm-up.
        status: A paused instance decides, but orders exits only.
    """

    name: str
    strategy: str
    params: dict[str, str | int | float] = {}
    broker: str
    account: str = ""
    venue: str
    interval: str = "1m"
    instruments: tuple[str, ...]
    allocation: Decimal
    currency: str
    epoch: str = ""
    status: Literal["active", "paused"] = "active"


def _samsung(name: str, file: str) -> StrategyInstance:
    return StrategyInstance(
        name=name,
        strategy=str(_EXAMPLES / file),
        broker="kis",
        venue="KRX",
        interval="1m",
        instruments=("KRX:005930",),
        allocation=Decimal(50_000_000),
        currency="KRW",
    )


DEFAULT_INSTANCES = (
    _samsung("sma-5-20", "sma_5_20.jts"),
    _samsung("sma-crossover", "sma_crossover.jts"),
    StrategyInstance(
        name="btc-sma",
        strategy=str(_EXAMPLES / "sma_crossover.jts"),
        broker="paper",
        venue="BINANCE",
        interval="1s",
        instruments=("BINANCE:BTCUSDT",),
        allocation=Decimal(10_000),
        currency="USDT",
    ),
)


class TradingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `trading`.

    Attributes:
        enabled: False leaves simulators and roles out of `jts up`.
        mode: `paper`: orders go to the simulators of this instance or to the paper broker.
        releases: `any`: every text that compiles is traded, which only paper trading accepts;
            `approved`: only those whose release passed its gates.
        instances: What is traded until `trading/inputs.json` says otherwise.
    """

    enabled: bool = True
    mode: str = "paper"
    releases: Literal["any", "approved"] = "any"
    instances: tuple[StrategyInstance, ...] = DEFAULT_INSTANCES

    @property
    def requires_approval(self) -> bool:
        """Whether an instance has to trade a released text; real money always asks for it."""
        return self.releases == "approved" or self.mode != "paper"


def load_trading(source: ConfigSource) -> TradingSettings:
    """Load and check the section `trading`; paths become absolute, accounts are filled in.

    Raises:
        ConfigError: The mode is not `paper`, a name stands twice, a broker is unknown, an
            allocation is not above zero, an instance trades nothing, or a relative path has no
            file to be relative to.
    """
    settings = source.load(TradingSettings, "trading")
    if settings.mode not in MODES:
        raise ConfigError(
            f"{source.origin('trading.mode')}: trading.mode is {settings.mode!r}; "
            f"accepted: {', '.join(MODES)} (real money is not built yet)"
        )
    origin = source.origin("trading.instances")
    seen: set[str] = set()
    placed = []
    for at, instance in enumerate(settings.instances):
        key = f"trading.instances[{at}]"
        _check(instance, seen, f"{origin}: {key}")
        path = source.place(instance.strategy, f"{key}.strategy")
        account = full_account(instance.broker, instance.account) or _account(
            source, instance.broker
        )
        placed.append(msgspec.structs.replace(instance, strategy=str(path), account=account))
    return msgspec.structs.replace(settings, instances=tuple(placed))


def _check(instance: StrategyInstance, seen: set[str], where: str) -> None:
    if not instance.name or instance.name in seen:
        raise ConfigError(
            f"{where}.name is {instance.name!r}; accepted: a name that no other instance has"
        )
    seen.add(instance.name)
    if instance.broker not in _ACCOUNTS:
        accepted = ", ".join(_ACCOUNTS)
        raise ConfigError(f"{where}.broker is {instance.broker!r}; accepted: {accepted}")
    if not (instance.allocation.is_finite() and instance.allocation > 0):
        raise ConfigError(
            f"{where}.allocation is {instance.allocation}; accepted: an amount above 0"
        )
    if not instance.instruments:
        raise ConfigError(f"{where}.instruments is empty; accepted: ids such as KRX:005930")


def _path(instance: StrategyInstance, source: ConfigSource, where: str) -> Path:
    path = Path(instance.strategy).expanduser()
    if path.is_absolute():
        return path
    if source.file is None:
        # Roles run in another working directory than whoever started them.
        raise ConfigError(
            f"{where}.strategy is {instance.strategy!r}; accepted: an absolute path, or in "
            "a configuration file one relative to it"
        )
    return Path(source.file).parent / path


def full_account(broker: str, account: str, product: str = _KIS_PRODUCT) -> str:
    """Return an account as orders, notices and balances name it: at KIS with its product."""
    if broker == "kis" and len(account) == _KIS_NUMBER_DIGITS:
        return account + product
    return account


def _account(source: ConfigSource, broker: str) -> str:
    table = source.values.get("brokers", {}).get(broker, {})
    account = str(table.get("account") or _ACCOUNTS[broker])
    return full_account(broker, account, str(table.get("product") or _KIS_PRODUCT))
