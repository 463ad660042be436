"""Errors of the libraries as Dagster shows them: one line, and no retry of what cannot pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from jts_trading.config.source import ConfigError
from jts_trading.domain.errors import JtsError
from storage.errors import HotStoreError, InputError, StorageError


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn an error of a library into a `dagster.Failure` with its one line.

    Only a store that is not there may come back by itself, so only that is worth a retry.
    """
    try:
        yield
    except HotStoreError as error:
        raise dg.Failure(str(error), allow_retries=True) from error
    except (StorageError, InputError, ConfigError, JtsError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
