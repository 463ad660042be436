"""The table of parts: what an instance consists of, and what each part needs.

Every part is a program of its own, started with the same environment: absolute paths and the
addresses of all stores, so that none of them depends on a working directory.
"""

import math
import os
import shutil
import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from signal import Signals

from jts_pipelines.cli import probes
from jts_pipelines.cli.part import Part
from jts_trading.config.settings import Settings
from jts_trading.config.source import child_environment
from storage.embedded.dsn import without_password

STORES = ("clickhouse", "postgres", "redis")
SIMULATORS = ("kis", "binance")
ROLES = ("collector", "recorder", "trader", "executor", "reconciler", "notifier")
LOCATION = "jts_pipelines"
DEFINITIONS = "jts_pipelines.definitions"

_CHECKOUT = Path(__file__).resolve().parents[2]
_HOST = "127.0.0.1"
# A second for questions under way, and one to end.
_CODE_SERVER_GRACE_S = 2.0
# A role leaves behind what is not done after 2.2 s (`jts_trading.commands.run`).
_ROLE_GRACE_S = 2.5
_SIMULATOR_GRACE_S = 1.5
_MEET_BROKERS = ("collector", "executor", "reconciler")


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment of every part: this one's, with all places and addresses fixed."""
    fixed = {
        "JTS_HOME": str(settings.instance.root),
        "JTS_HOT__DSN": settings.hot_dsn,
        "JTS_POSTGRES__DSN": settings.postgres_dsn,
        "JTS_REDIS__DSN": settings.redis_dsn,
        "JTS_DAGSTER_PG_URL": settings.dagster_url,
        "DAGSTER_HOME": str(settings.instance.dagster_home),
        "PYTHONUNBUFFERED": "1",
        **_ports_of(settings),
    }
    if settings.file is not None:
        fixed["JTS_CONFIG"] = settings.file
    return child_environment(fixed)


def _ports_of(settings: Settings) -> dict[str, str]:
    """Return every port by its variable: a part that is started for somebody must not guess."""
    return {
        f"JTS_INSTANCE__{part.upper()}_PORT": str(port)
        for part, port in settings.instance.ports.items()
    }


def store_parts(settings: Settings, need: Collection[str] = STORES) -> tuple[Part, ...]:
    """Return the stores of some names: embedded servers, or probes of configured ones."""
    environment = environment_of(settings)
    home = settings.instance.root
    socket = settings.instance.redis_socket
    port = settings.instance.port("clickhouse")
    known = {
        "clickhouse": Part(
            name="clickhouse",
            argv=_store("clickhouse", settings.hot.dsn, path=home / "hot", port=port),
            environment=environment,
            directory=home,
            probe=lambda _age_s: probes.clickhouse(settings.hot_dsn),
            port=None if settings.hot.dsn else port,
            url=without_password(settings.hot_dsn),
        ),
        "postgres": Part(
            name="postgres",
            argv=_store(
                "postgres",
                settings.postgres.dsn,
                path=home / "postgres",
                socket_dir=settings.instance.postgres_socket_directory,
            ),
            environment=environment,
            directory=home,
            probe=lambda _age_s: probes.postgres(settings.postgres_dsn),
            url=without_password(settings.postgres_dsn),
        ),
        "redis": Part(
            name="redis",
            argv=_store("redis", settings.redis.dsn, path=home / "redis", socket=socket),
            environment=environment,
            directory=home,
            probe=lambda _age_s: probes.redis(settings.redis_dsn),
            url=without_password(settings.redis_dsn),
        ),
    }
    return tuple(known[name] for name in STORES if name in need)


def dagster_parts(settings: Settings, *, definitions: str = DEFINITIONS) -> tuple[Part, ...]:
    """Return code server, web server and daemon; call `prepare_dagster_home` before they start.

    Args:
        settings: Of the instance.
        definitions: The module with Dagster's entry point.
    """
    return _code_server(settings, definitions), _web_server(settings), _daemon(settings)


def _code_server(settings: Settings, definitions: str) -> Part:
    """Return the server of the definitions, from which runs are started.

    `dagster code-server start` would put a proxy before the same server: 60 MB more, and the
    server outlives a killed proxy. What the proxy adds, a reload of changed code, is here a
    restart of this part. Definitions load at the first question, so that an error in them is
    shown in the web page and does not end the server.
    """
    port = settings.instance.port("code_server")
    return Part(
        name="dagster-code-server",
        argv=_dagster(
            *("dagster", "api", "grpc", "--lazy-load-user-code", "-m", definitions),
            *("-h", _HOST, "-p", str(port), "--location-name", LOCATION),
            "--use-python-environment-entry-point",
        ),
        # It waits for questions under way, a minute by default: a sensor that is being evaluated
        # when everything ends would keep it that long.
        environment={
            **environment_of(settings),
            "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "1",
            # Nor may it try on to reach a database that was killed with the supervisor.
            "JTS_SUPERVISOR_PID": str(os.getpid()),
        },
        directory=settings.instance.dagster_home,
        probe=lambda _age_s: probes.listens(port),
        parents=("clickhouse", "postgres"),
        port=port,
        grace_s=_CODE_SERVER_GRACE_S,
        hung_after_s=240.0,
    )


def _web_server(settings: Settings) -> Part:
    port = settings.instance.port("dagster")
    url = _dagster_page(settings)
    return Part(
        name="dagster-webserver",
        argv=_dagster("dagster_webserver", "-h", _HOST, "-p", str(port), *_workspace(settings)),
        environment=environment_of(settings),
        directory=settings.instance.dagster_home,
        probe=lambda _age_s: probes.dagster_loaded(url, LOCATION),
        parents=("postgres", "dagster-code-server"),
        port=port,
        url=url,
        grace_s=1.0,
        death_signal=Signals.SIGKILL,
        # Definitions that fail to load make it unready, and are for a person to read there.
        hung_after_s=math.inf,
        probe_every_s=5.0,
    )


def _daemon(settings: Settings) -> Part:
    url = _dagster_page(settings)
    return Part(
        name="dagster-daemon",
        argv=_dagster("dagster._daemon", "run", *_workspace(settings)),
        environment=environment_of(settings),
        directory=settings.instance.dagster_home,
        probe=lambda age_s: probes.dagster_daemons(url, age_s),
        # After the web server, so that one process alone creates the tables of a new database.
        parents=("postgres", "dagster-code-server", "dagster-webserver"),
        grace_s=1.5,
        death_signal=Signals.SIGKILL,
        hung_after_s=600.0,
        probe_every_s=5.0,
    )


def _dagster_page(settings: Settings) -> str:
    return f"http://{_HOST}:{settings.instance.port('dagster')}"


def _workspace(settings: Settings) -> tuple[str, str]:
    return "-w", str(settings.instance.dagster_home / "workspace.yaml")


def status_part(settings: Settings) -> Part:
    """Return the server of `/healthz`, `/readyz` and `/metrics` on the gateway's port."""
    port = settings.instance.port("gateway")
    url = f"http://{_HOST}:{port}"
    return Part(
        name="status",
        argv=_module("jts_pipelines.cli.status_server", "--port", str(port)),
        environment=environment_of(settings),
        directory=settings.instance.root,
        probe=lambda _age_s: probes.answers(f"{url}/healthz"),
        port=port,
        url=url,
    )


def trading_parts(settings: Settings) -> tuple[Part, ...]:
    """Return simulators, the migrations of the ledger, and one part for each role.

    Their parents are the stores; start them together with `store_parts`.
    """
    simulators = tuple(_simulator(settings, name) for name in SIMULATORS)
    names = tuple(part.name for part in simulators)
    migrations = Part(
        name="migrations",
        argv=_module("jts_trading", "migrate", "--json"),
        environment=environment_of(settings),
        directory=settings.instance.root,
        probe=lambda _age_s: "under way",
        parents=("postgres",),
        grace_s=1.0,
        is_step=True,
    )
    roles = tuple(_role(settings, name, names) for name in ROLES)
    return (*simulators, migrations, *roles)


def _simulator(settings: Settings, broker: str) -> Part:
    ports = [settings.instance.port(f"sim_{broker}_{kind}") for kind in ("rest", "stream")]

    return Part(
        name=f"sim-{broker}",
        argv=_module("jts_trading", "sim", broker, "--keep"),
        environment=environment_of(settings),
        directory=settings.instance.root,
        # Both ports are taken together; a WebSocket would log each question.
        probe=lambda _age_s: probes.listens(ports[0]),
        port=ports[0],
        more_ports=(ports[1],),
        url=f"http://{_HOST}:{ports[0]}",
        grace_s=_SIMULATOR_GRACE_S,
    )


def _role(settings: Settings, name: str, simulators: tuple[str, ...]) -> Part:
    run_directory = settings.instance.run_directory
    return Part(
        name=name,
        argv=_module("jts_trading", "run", name),
        environment=environment_of(settings),
        directory=settings.instance.root,
        probe=lambda age_s: probes.role(run_directory, name, age_s),
        parents=(*STORES, "migrations", *(simulators if name in _MEET_BROKERS else ())),
        grace_s=_ROLE_GRACE_S,
        hung_after_s=30.0,
        probe_every_s=1.0,
    )


def all_parts(settings: Settings) -> tuple[Part, ...]:
    """Return everything that exists, in the order of the table."""
    parts = (status_part(settings), *store_parts(settings))
    if settings.trading.enabled:
        parts += trading_parts(settings)
    return parts + dagster_parts(settings) if find_spec(DEFINITIONS) else parts


def prepare_dagster_home(settings: Settings) -> None:
    """Copy `dagster.yaml` into Dagster's home and write the workspace of the code server."""
    home = settings.instance.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_CHECKOUT / "dagster.yaml", home / "dagster.yaml")
    port = settings.instance.port("code_server")
    (home / "workspace.yaml").write_text(
        "# Written by jts; the code server of this instance.\n"
        "load_from:\n"
        f"  - grpc_server: {{host: {_HOST}, port: {port}, location_name: {LOCATION}}}\n",
        encoding="utf-8",
    )


def _store(name: str, dsn: str, **options: object) -> tuple[str, ...]:
    if dsn:
        return ()
    words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    return _module(f"storage.embedded.{name}", *words)


def _module(name: str, *words: str) -> tuple[str, ...]:
    # -P: a stray redis.py in the working directory must not take the place of a library.
    return (sys.executable, "-P", "-m", name, *words)


def _dagster(name: str, *words: str) -> tuple[str, ...]:
    # Without -P: Dagster drops the first entry of sys.path when it imports definitions. It means
    # the working directory, which is Dagster's home; with -P it would be the user's PYTHONPATH.
    return (sys.executable, "-m", name, *words)
