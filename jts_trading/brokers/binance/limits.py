"""Published quotas of Binance spot as data. Sources: brokers/binance sections 3 and 7.

Windows of REST are aligned to the wall clock, not sliding; the counters in the answers and the
limits of `exchangeInfo` count for more than any constant here.
"""

STREAMS_MAX = 1024
CONTROL_MESSAGES_PER_S = 5
CONNECTIONS_PER_5_MIN = 300
WEIGHT_PER_MIN = 6000
PING_EVERY_S = 20.0
PONG_WITHIN_S = 60.0
LIFE_S = 24 * 3600.0
USED_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"

# Weight of a query by path; that of a snapshot depends on its levels.
WEIGHTS = {
    "/api/v3/ping": 1,
    "/api/v3/time": 1,
    "/api/v3/exchangeInfo": 20,
    "/api/v3/klines": 2,
    "/api/v3/ticker/24hr": 2,
}
DEPTH_PATH = "/api/v3/depth"
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
DEPTH_LEVELS_MAX = 5000
KLINES_MAX = 1000


def depth_weight(levels: int) -> int:
    """Return what a snapshot of so many levels costs.

    Raises:
        ValueError: The venue shows no more than 5000.
    """
    for most, weight in _DEPTH_WEIGHTS:
        if levels <= most:
            return weight
    raise ValueError(f"a snapshot of {levels} levels; accepted: 1 to {DEPTH_LEVELS_MAX}")
