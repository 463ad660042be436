"""`jts migrate`: bring the ledger's schema to this program's version, and prepare to trade."""

import asyncio

import click

from jts_trading.bootstrap.preparing import Prepared, prepare
from jts_trading.bootstrap.settings import load_daemon
from jts_trading.telemetry import console


@click.command()
@console.json_option
def migrate(as_json: bool) -> int:
    """Bring the ledger's schema up to this program, and record the configured releases.

    `jts up` does it before the roles start. A ledger that is newer than this program is refused.
    """
    prepared = asyncio.run(prepare(load_daemon()))
    console.emit(prepared, as_json=as_json, table=lambda: _told(prepared))
    return console.DONE


def _told(prepared: Prepared) -> str:
    applied = ", ".join(map(str, prepared.applied)) or "none"
    releases = ", ".join(prepared.releases) or "none"
    return (
        f"schema {prepared.schema}; applied now: {applied}; "
        f"trading inputs version {prepared.inputs}; new releases: {releases}"
    )
