"""The accounts that an installation trades in, as ports that ask about them."""

from jts_trading.bootstrap.kis import open_kis
from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.brokers.kis.account import CountedPermits, KisAccount
from jts_trading.brokers.kis.permits import quotas_of
from jts_trading.brokers.kis.rest import KisRest
from jts_trading.brokers.paper.account import PaperAccount
from jts_trading.brokers.paper.settings import PaperSettings
from jts_trading.brokers.paper.venue import FILE
from jts_trading.config.source import ConfigError
from jts_trading.domain.instruments import Broker
from jts_trading.execution.priority import Priority
from jts_trading.ports.account import Account
from jts_trading.ports.clock import boottime_ns
from jts_trading.ports.state import State


async def open_accounts(daemon: DaemonSettings, stores: Stores, state: State) -> list[Account]:
    """Return the accounts that the inputs name, each once.

    Raises:
        ConfigError: The inputs name another account than the section of its broker.
    """
    inputs = stores.inputs(daemon.source)
    accounts: list[Account] = []
    for broker, account in dict.fromkeys((each.broker, each.account) for each in inputs.instances):
        match broker:
            case Broker.KIS:
                opened: Account = await _open_kis_account(daemon, stores, state)
            case Broker.PAPER:
                paper = daemon.source.load(PaperSettings, "brokers.paper")
                opened = PaperAccount(stores.home / FILE, paper, clock=stores.clock)
            case _:
                continue
        if opened.account != account:
            raise ConfigError(
                f"the trading inputs name the account {broker}/{account}; accepted: that of the"
                f" section brokers.{broker}, {opened.account}"
            )
        accounts.append(opened)
    return accounts


async def _open_kis_account(daemon: DaemonSettings, stores: Stores, state: State) -> KisAccount:
    line = await open_kis(daemon, stores, state)
    permits = CountedPermits(
        line.permits.acquire_as(Priority.QUERY),
        environment=line.settings.environment,
        quotas=quotas_of(line.settings),
        monotonic_ns=boottime_ns,
    )
    rest = KisRest(line.transport(permits), line.clock)
    return KisAccount(rest, line.settings, permits)
