"""Market and kind of instruments, from the list of the instance."""

from collections.abc import Callable

from jts_trading.bootstrap.stores import Stores
from jts_trading.execution.fill_costs import Listed
from jts_trading.market_store.listing import read_listing


def listed_in(stores: Stores) -> Callable[[str], Listed]:
    """Return who knows market and kind of an instrument: the instance's list.

    Raises:
        InputError: The list cannot be read.
    """
    listing = read_listing(stores.home)

    def listed(instrument_id: str) -> Listed:
        found = listing.get(instrument_id)
        if found is None:
            return Listed()
        return Listed(found.market or Listed().market, found.asset or Listed().asset)

    return listed
