"""`jts demo`: the main job once, from files to a report, on an instance of its own.

The demo starts the same processes as `jts up`, loads two files, and lets Dagster move them
through the tiers and run the backtests, over the same GraphQL as the user interface. After every
move it counts the rows of the lake itself. It ends with a table or one JSON document and leaves
nothing running.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jts_trading.telemetry import console

if TYPE_CHECKING:
    from types import FrameType

    from jts_pipelines.cli.demo_run import Demo


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of market data; else JTS_TEST_DATA, ../shared/data, or generated bars.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/demo"),
    show_default=True,
    help="Where the demo's home and its results go; an earlier demo there is replaced.",
)
@console.json_option
def demo(data: Path | None, out: Path, *, as_json: bool) -> int:
    """Run the main job once, from files to a report, and print what happened.

    Exit code 1 when rows were not conserved, a copy did not verify, or a partition stands in
    the wrong tier.
    """
    from jts_pipelines.cli.demo_home import demo_settings, fresh_home
    from jts_pipelines.cli.demo_memory import MemorySampler
    from jts_pipelines.cli.demo_run import Demo
    from jts_pipelines.cli.demo_steps import run_demo
    from jts_pipelines.cli.demo_summary import document_of, table_of

    began = time.monotonic()
    settings = demo_settings(out)
    fresh_home(settings)
    with ExitStack() as stack:
        stack.enter_context(_sigterm_as_interrupt())
        bars = stack.enter_context(console.progress())
        sampler = stack.enter_context(MemorySampler(settings.instance.root))
        run = Demo(settings=settings, data=data, bars=bars)
        run_demo(run)
    document = document_of(run, seconds=time.monotonic() - began, peak=sampler.peak_bytes)
    _keep(run, document.encoded())
    console.emit(document, as_json=as_json, table=lambda: table_of(document))
    return console.DONE if document.is_good else console.CHECK_FAILED


def _keep(run: "Demo", content: bytes) -> None:
    """Write the document beside the other results, where the next person finds it."""
    run.document_path.write_bytes(content)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind the demo like Ctrl-C, so that nothing is left running."""

    def interrupt(_number: int, _frame: "FrameType | None") -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
