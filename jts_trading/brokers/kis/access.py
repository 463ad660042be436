"""Signing in: the access token of REST and the approval key of the socket.

Theory of operation. A token lives a day and only one may be asked for in a minute, so there is one
refresher: callers wait for the same request (single flight), processes that share a file stand in
line at its lock, a token is kept in a store over restarts, and it is renewed after 80 % of its
life while the old one still serves. KIS can hand out a dead token again within six hours of its
issue: such a token is never stored or used.
"""

import asyncio
import contextlib
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
import msgspec

from jts_trading.brokers.kis import codec, wire
from jts_trading.brokers.kis.errors import (
    DecodeError,
    TokenError,
    VenueBusyError,
    VenueRefusedError,
    error_for,
)
from jts_trading.brokers.kis.limits import NS_PER_S, Acquire, QuotaName, free_permits
from jts_trading.brokers.kis.settings import KisKeys, KisSettings
from jts_trading.ports.clock import Clock
from jts_trading.telemetry.secrets import Secret

# After a minute the venue answers again; the second is for its clock.
TOKEN_RETRY_S = 61.0
TOKEN_TRIES = 3
_LOCK_POLL_S = 0.02

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class StoredToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as a store keeps it; times are UTC ns."""

    value: str
    issued_ns: int
    expires_ns: int

    @property
    def renew_ns(self) -> int:
        """When four fifths of its life are over."""
        return self.issued_ns + (self.expires_ns - self.issued_ns) * 4 // 5


class TokenStore(Protocol):
    """Keeps the token of one app key over restarts."""

    def load(self) -> StoredToken | None:
        """Return the token that was saved last."""
        ...

    def save(self, token: StoredToken | None) -> None:
        """Keep a token, or none."""
        ...

    def drop(self, value: str) -> None:
        """Forget the token of this value, if it is the one that is kept and nobody renews it."""
        ...

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Keep all others from renewing, other processes too, for the time of a block."""
        ...


class MemoryTokens:
    """Keeps the token as long as the process lives."""

    def __init__(self) -> None:
        self._token: StoredToken | None = None

    def load(self) -> StoredToken | None:
        """Return the token that was saved last."""
        return self._token

    def save(self, token: StoredToken | None) -> None:
        """Keep a token, or none."""
        self._token = token

    def drop(self, value: str) -> None:
        """Forget a token; see `TokenStore`."""
        if self._token is not None and self._token.value == value:
            self._token = None

    @contextlib.asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Nobody else has it."""
        yield


class FileTokens:
    """Keeps the token in a file that only its owner reads.

    Args:
        path: The file; its directory exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> StoredToken | None:
        """Return the token that was saved last; a damaged file counts as none."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=StoredToken)
        except (OSError, msgspec.DecodeError):
            return None

    def save(self, token: StoredToken | None) -> None:
        """Replace the file in one step, or remove it."""
        if token is None:
            self._path.unlink(missing_ok=True)
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(token))
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def drop(self, value: str) -> None:
        """Forget a token; see `TokenStore`."""
        descriptor = self._open_lock()
        try:
            # Whoever holds the lock is about to save another one, which must stay.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stored = self.load()
            if stored is not None and stored.value == value:
                self.save(None)
        except BlockingIOError:
            return
        finally:
            os.close(descriptor)

    @contextlib.asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold the lock of the file; it is free again when its holder dies."""
        descriptor = self._open_lock()
        try:
            while not _is_locked(descriptor):  # noqa: ASYNC110 - a file lock has no event
                await asyncio.sleep(_LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)

    def _open_lock(self) -> int:
        path = self._path.with_name(f"{self._path.name}.lock")
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class KisAccess:
    """Token and approval key of one app.

    Args:
        settings: The account.
        keys: The app's two secrets.
        http: Client without a token; its time-outs count.
        clock: Time in which tokens expire.
        store: Keeps the token over restarts.
        acquire: Gives leave to call, under the quotas of the key.
        sleep: Waits in real seconds, in which the venue counts its minute.
    """

    def __init__(
        self,
        settings: KisSettings,
        keys: KisKeys,
        http: httpx.AsyncClient,
        *,
        clock: Clock,
        store: TokenStore | None = None,
        acquire: Acquire = free_permits,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.keys = keys
        self._root = settings.rest_root
        self._http = http
        self._clock = clock
        self._store = store or MemoryTokens()
        self._acquire = acquire
        self._sleep = sleep
        self._flight = asyncio.Lock()
        self._dead: str | None = None
        self._retry_ns = 0

    async def token(self) -> Secret:
        """Return a token that lives, renewing it when it is due.

        Raises:
            VenueBusyError: The venue gives none at present.
            VenueRefusedError: Key or secret is wrong.
        """
        if (token := self._usable()) is not None and not self._is_due(token):
            return Secret(token.value)
        async with self._flight, self._store.exclusive():
            # Somebody may have renewed it while we waited.
            if (token := self._usable()) is not None and not self._is_due(token):
                return Secret(token.value)
            return Secret((await self._renew(token)).value)

    def forget(self, token: Secret) -> None:
        """Note that the venue refuses a token: the next caller gets another."""
        self._dead = token.reveal()
        self._store.drop(self._dead)

    async def approval_key(self) -> Secret:
        """Return a new approval key for the socket.

        Raises:
            VenueBusyError: The venue gives none at present.
            VenueRefusedError: Key or secret is wrong.
        """
        body = {
            "grant_type": "client_credentials",
            "appkey": self.keys.app_key.reveal(),
            "secretkey": self.keys.app_secret.reveal(),
        }
        return Secret(_read(codec.decode_approval, await self._post(wire.PATH_APPROVAL, body)))

    def _usable(self) -> StoredToken | None:
        token = self._store.load()
        if token is None or token.expires_ns <= self._clock.now_ns() or token.value == self._dead:
            return None
        return token

    def _is_due(self, token: StoredToken) -> bool:
        now = self._clock.now_ns()
        return now >= token.renew_ns and now >= self._retry_ns

    async def _renew(self, old: StoredToken | None) -> StoredToken:
        for tries_left in reversed(range(TOKEN_TRIES)):
            try:
                return await self._issue()
            except (VenueBusyError, TokenError):
                if old is not None:
                    # The old one serves on; a minute later somebody tries again.
                    self._retry_ns = self._clock.now_ns() + int(TOKEN_RETRY_S * NS_PER_S)
                    return old
                if not tries_left:
                    raise
            await self._sleep(TOKEN_RETRY_S)
        raise AssertionError("the last try returns or raises")

    async def _issue(self) -> StoredToken:
        await self._acquire((QuotaName.TOKEN,))
        body = {
            "grant_type": "client_credentials",
            "appkey": self.keys.app_key.reveal(),
            "appsecret": self.keys.app_secret.reveal(),
        }
        answer = await self._post(wire.PATH_TOKEN, body)
        value, expires_ns, life_s = _read(codec.decode_token, answer)
        now = self._clock.now_ns()
        if expires_ns <= now or value == self._dead:
            raise TokenError("KIS handed out a token that is already dead")
        # The same token may be handed out again: its life began when it was first issued.
        issued_ns = min(now, expires_ns - life_s * NS_PER_S)
        token = StoredToken(value=value, issued_ns=issued_ns, expires_ns=expires_ns)
        self._store.save(token)
        return token

    async def _post(self, path: str, body: dict[str, Any]) -> bytes:
        try:
            answer = await self._http.post(self._root + path, json=body)
        except httpx.TransportError as error:
            raise VenueBusyError(f"KIS {path}: {type(error).__name__}") from error
        refusal = codec.decode_refusal(answer.content)
        if refusal is not None:
            raise error_for(refusal.error_code, refusal.error_description, is_order=False)
        if answer.status_code != httpx.codes.OK:
            raise VenueBusyError(f"KIS {path}: HTTP {answer.status_code}")
        with contextlib.suppress(DecodeError):
            envelope = codec.decode_envelope(answer.content)
            if envelope.rt_cd != "0":
                raise VenueRefusedError(f"KIS {envelope.msg_cd}: {envelope.msg1.strip()}")
        return answer.content


def _read(decoder: Callable[[bytes], T], body: bytes) -> T:
    """Read an answer; a page of a broken gateway in its place passes like the gateway's fault."""
    try:
        return decoder(body)
    except DecodeError as error:
        raise VenueBusyError(f"KIS sign-in: unreadable answer: {error.reason}") from error
