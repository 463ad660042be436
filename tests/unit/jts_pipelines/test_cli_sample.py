"""`jts sample` gives a person something to try the other commands on."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from jts_pipelines.cli.sample import sample


def test_sample_when_run_twice_then_the_files_hold_the_same_bars(tmp_path: Path) -> None:
    """One seed, one market; halts are part of it."""
    frames = []
    for name in ("a", "b"):
        result = CliRunner().invoke(
            sample, [str(tmp_path / name), "--symbols", "5", "--seed", "7", "--json"]
        )
        assert result.exit_code == 0, result.output
        frames.append(pl.read_parquet(json.loads(result.stdout)["daily"]))

    assert frames[0].equals(frames[1])
    assert frames[0]["symbol"].n_unique() == 5
    assert frames[0].filter(pl.col("volume") == 0).height > 0


@pytest.mark.parametrize("symbols", ["3", "2001", "many"])
def test_sample_when_the_number_of_symbols_is_unusable_then_it_is_refused(
    tmp_path: Path, symbols: str
) -> None:
    """The accepted range is part of the message, and nothing is written."""
    result = CliRunner().invoke(sample, [str(tmp_path / "x"), "--symbols", symbols])

    assert result.exit_code == 2
    assert not (tmp_path / "x").exists()
