"""The sums that must hold after every run: no money and no share appears or vanishes."""

import numpy as np

from jts_pipelines.backtest import places
from jts_pipelines.backtest.columns import Desk, Ints


class ConservationError(RuntimeError):
    """The money of a run does not add up: a defect of the engine, never of its input."""


def require_conservation(desk: Desk, fills: Ints, start_cash: int) -> None:
    """Check that no won appeared or vanished.

    Raises:
        ConservationError: Cash is not the start plus the flows of all fills, positions are not
            what was bought less what was sold, or their value is not quantity times mark.
    """
    side, quantity = fills[:, places.FILL_SIDE], fills[:, places.FILL_QUANTITY]
    unit = desk.book[:, places.UNIT]
    gross = quantity * fills[:, places.FILL_PRICE] * unit[fills[:, places.FILL_INSTRUMENT]]
    columns = (places.FILL_COMMISSION, places.FILL_STT, places.FILL_RST)
    costs = sum(int(fills[:, column].sum()) for column in columns)
    cash = start_cash - int((side * gross).sum()) - costs
    found = int(desk.account[places.CASH])
    is_owing = desk.rules[places.SHORTS] != 0
    if cash != found or (found < 0 and not is_owing):
        raise ConservationError(f"cash is {found}, start and fills make {cash}")
    held = np.zeros(len(desk.book), np.int64)
    np.add.at(held, fills[:, places.FILL_INSTRUMENT], side * quantity)
    signed = desk.book[:, places.DIRECTION] * desk.book[:, places.QUANTITY]
    if (held != signed).any() or ((held < 0).any() and not is_owing):
        raise ConservationError("positions are not what was bought less what was sold")
    value = int((held * desk.book[:, places.MARK] * unit).sum())
    if value != int(desk.account[places.VALUE]):
        raise ConservationError(f"positions are worth {value}, found {desk.account[places.VALUE]}")
