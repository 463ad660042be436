"""Settings of the simulated KIS, section `sim.kis`."""

from typing import Literal

import msgspec

from jts_trading.brokers.kis.limits import STREAM_REGISTRATIONS_MAX, TOKEN_LIFE_S, TOKEN_SAME_S
from jts_trading.brokers.kis.settings import Environment

DEMO_ACCOUNT = "50000001"
DEMO_USER = "jtsdemo"


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One simulated host with one app key and one account.

    Attributes:
        environment: Which of the broker's worlds it plays: ids, page sizes and quotas.
        host: Address to listen on.
        rest_port: Port of REST; 0 takes a free one.
        stream_port: Port of the WebSocket, likewise.
        app_key: The key that signs in; not a secret of anybody.
        app_secret: Its counterpart.
        account: 8 digits.
        product: 2 digits.
        user_id: HTS id.
        deposit: Settled won at the start.
        level_quantity: Shares that the crowd offers at the best price.
        prints_max: Most trades that a recorded bar becomes.
        speed: Tape seconds per second of the clock; 0 plays as fast as the readers follow; None
            plays each trade when the clock reads its time.
        waits_for_reader: Whether the tape starts only with the first registration and, at speed
            0, stands while nobody reads.
        window_frames: At speed 0, data frames sent before the reader must have answered.
        pingpong_every_s: Pause between questions of the server.
        reader_timeout_s: A reader that answers nothing for so long is dropped.
        registrations_max: Subscriptions of one socket.
        calls_per_s: Quota of REST; None is the published one.
        ledger_calls_per_s: Quota of account calls, likewise.
        token_every_s: Least time between two requests for a token.
        token_same_s: Within it the same token is handed out.
        token_life_s: Life of a token.
        checks_session: Whether orders outside the market's hours are refused.
        data: Folder with recorded minutes (`krx/krx_1m_*.parquet`) and listings; generated bars
            when empty.
        symbols: What trades; all that the data has when empty.
        day: Session that is played, ISO date; empty for the newest full one.
        days: `recorded` plays that session and those after it on their own dates; `mapped` plays
            recorded sessions on the instance's days, one after the other and again; `auto`
            chooses the first from the day before that session to its end.
        seed: Of generated bars.
        faults: File of faults; none when empty.
        books: File in which account and orders survive a restart; memory only when empty.
    """

    environment: Environment = Environment.PAPER
    host: str = "127.0.0.1"
    rest_port: int = 0
    stream_port: int = 0
    app_key: str = "PSIMULATEDKEY"
    app_secret: str = "simulated-secret"  # noqa: S105 - of the simulator, and public
    account: str = DEMO_ACCOUNT
    product: str = "01"
    user_id: str = DEMO_USER
    deposit: int = 100_000_000
    level_quantity: int = 10_000
    prints_max: int = 12
    speed: float | None = None
    waits_for_reader: bool = False
    window_frames: int = 64
    pingpong_every_s: float = 10.0
    reader_timeout_s: float = 10.0
    registrations_max: int = STREAM_REGISTRATIONS_MAX
    calls_per_s: int | None = None
    ledger_calls_per_s: int | None = None
    token_every_s: float = 60.0
    token_same_s: int = TOKEN_SAME_S
    token_life_s: int = TOKEN_LIFE_S
    checks_session: bool = True
    data: str = ""
    symbols: tuple[str, ...] = ()
    day: str = ""
    days: Literal["auto", "recorded", "mapped"] = "auto"
    seed: int = 1
    faults: str = ""
    books: str = ""
