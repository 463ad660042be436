"""Settings of one KIS account, section `brokers.kis`; keys and secrets come from elsewhere.

Every host is a setting: the simulator, the paper host and the real host differ in nothing else but
tables (`limits`, `wire`).
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from jts_trading.telemetry.secrets import Secret

REST_REAL = "https://openapi.koreainvestment.com:9443"
REST_PAPER = "https://openapivts.koreainvestment.com:29443"
STREAM_REAL = "ws://ops.koreainvestment.com:21000"
STREAM_PAPER = "ws://ops.koreainvestment.com:31000"


class Environment(StrEnum):
    """Which of the broker's two worlds: keys and transaction ids of one fail in the other."""

    REAL = "real"
    PAPER = "paper"


class KisSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account at KIS.

    Attributes:
        environment: `real` or `paper`.
        rest_url: Where REST is; empty for the published host of the environment.
        stream_url: Where the WebSocket is, likewise.
        stream_path: Path of the socket; one socket serves all subscriptions.
        account: The 8 digits (CANO).
        product: The 2 digits after them (ACNT_PRDT_CD); `01` is stock.
        user_id: HTS id, the key of own-order notices.
        timeout_s: Longest wait for a REST answer.
        connect_timeout_s: Longest wait for a connection.
        stale_after_s: A socket that is silent for longer is given up.
        reconnect_after_s: First pause before a new socket; doubles up to the next field. KIS
            bans keys that reconnect in a storm.
        reconnect_after_s_max: Longest pause.
        token_path: File that keeps the access token over restarts; empty for memory only.
        calls_per_s: Quota of REST of the app key; None is the published one.
        ledger_calls_per_s: Quota of account calls, likewise.
    """

    environment: Environment = Environment.PAPER
    rest_url: str = ""
    stream_url: str = ""
    stream_path: str = "/tryitout"
    account: str = ""
    product: str = "01"
    user_id: str = ""
    timeout_s: float = 5.0
    connect_timeout_s: float = 3.0
    stale_after_s: float = 45.0
    reconnect_after_s: float = 5.0
    reconnect_after_s_max: float = 120.0
    token_path: str = ""
    calls_per_s: int | None = None
    ledger_calls_per_s: int | None = None

    @property
    def is_paper(self) -> bool:
        """Whether this is the broker's paper world."""
        return self.environment is Environment.PAPER

    @property
    def rest_root(self) -> str:
        """Scheme, host and port of REST."""
        return (self.rest_url or (REST_PAPER if self.is_paper else REST_REAL)).rstrip("/")

    @property
    def stream_root(self) -> str:
        """Full address of the socket."""
        published = STREAM_PAPER if self.is_paper else STREAM_REAL
        return (self.stream_url or published).rstrip("/") + self.stream_path


@dataclass(frozen=True, slots=True)
class KisKeys:
    """The two secrets of an app at KIS."""

    app_key: Secret
    app_secret: Secret
