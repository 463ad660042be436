"""One call of REST: permits, token, headers, and what its failure means.

A query that fails may be asked again; an order whose answer is missing or unreadable is unknown,
unless no byte of it can have reached the venue.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import httpx
import msgspec

from jts_trading.brokers.kis import codec, wire
from jts_trading.brokers.kis.access import KisAccess
from jts_trading.brokers.kis.errors import DecodeError, TokenError, VenueBusyError, error_for
from jts_trading.brokers.kis.limits import Acquire, QuotaName, free_permits
from jts_trading.brokers.kis.settings import KisSettings
from jts_trading.domain.account_reports import OrderRefusal
from jts_trading.domain.errors import JtsError, UnknownOutcome
from jts_trading.telemetry.secrets import Secret

_MORE = frozenset({"F", "M"})
# The connection was never made: nothing was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


Gate = Callable[[], None]
# What httpcore calls this moment, whatever the version of HTTP.
_FIRST_BYTE = "send_request_headers.started"


class Answer(NamedTuple):
    """A successful answer: its body, and whether another page follows."""

    body: bytes
    has_more: bool


class KisTransport:
    """Calls REST with one app key.

    Args:
        settings: The account.
        access: Gives tokens.
        http: The client; its time-outs bound every call.
        acquire: Gives leave to call, under the quotas of the key.
    """

    def __init__(
        self,
        settings: KisSettings,
        access: KisAccess,
        http: httpx.AsyncClient,
        *,
        acquire: Acquire = free_permits,
    ) -> None:
        self.settings = settings
        self._access = access
        self._http = http
        self._acquire = acquire

    async def query(
        self, call: wire.Call, parameters: Mapping[str, str], *, is_next_page: bool = False
    ) -> Answer:
        """Ask; a refused token is replaced once.

        Raises:
            VenueBusyError: The venue cannot answer now: ask again later.
            VenueRefusedError: The question is wrong.
            DecodeError: The answer cannot be read.
        """
        try:
            return await self._query(call, parameters, is_next_page)
        except TokenError:
            return await self._query(call, parameters, is_next_page)

    async def prepare(self) -> None:
        """Sign in if it is due, so that the next call need not.

        Raises:
            VenueBusyError: The venue gives no token at present.
            VenueRefusedError: Key or secret is wrong.
        """
        await self._access.token()

    async def order(
        self, call: wire.Call, body: msgspec.Struct, gate: Gate | None = None
    ) -> Answer | OrderRefusal:
        """Send a change of orders once; never sends it again.

        Args:
            call: Which change.
            body: Its content.
            gate: Asked right before the first byte is written, after the connection is made; what
                it raises comes out of here, and then nothing was sent.

        Raises:
            VenueBusyError: Not accepted, nothing was done: a limit, or no connection.
            TokenError: Not accepted, nothing was done: the token was refused and is forgotten.
            UnknownOutcome: It may or may not have been accepted.
        """
        token = await self._prepared(call)
        if gate is not None:
            gate()
        try:
            answer = await self._http.post(
                self.settings.rest_root + call.path,
                content=msgspec.json.encode(body),
                headers=self._headers(call, token),
                extensions={} if gate is None else {"trace": _asking(gate)},
            )
        except _NOT_SENT as error:
            raise VenueBusyError(f"KIS order not sent: {type(error).__name__}") from error
        except httpx.HTTPError as error:
            raise UnknownOutcome(f"KIS order: no answer ({type(error).__name__})") from error
        try:
            envelope = codec.decode_envelope(answer.content)
        except DecodeError as error:
            reason = f"KIS order: HTTP {answer.status_code} with an unreadable answer"
            raise UnknownOutcome(reason) from error
        if envelope.rt_cd == "0":
            if answer.status_code != httpx.codes.OK:
                raise UnknownOutcome(f"KIS order: success with HTTP {answer.status_code}")
            return Answer(answer.content, has_more=False)
        problem = self._problem(envelope, token, is_order=True)
        if isinstance(problem, VenueBusyError | TokenError | UnknownOutcome):
            raise problem
        return OrderRefusal(
            broker=codec.BROKER, code=envelope.msg_cd, reason=envelope.msg1.strip()
        )

    async def _query(
        self, call: wire.Call, parameters: Mapping[str, str], is_next_page: bool
    ) -> Answer:
        token = await self._prepared(call)
        headers = self._headers(call, token) | {"tr_cont": "N" if is_next_page else ""}
        try:
            answer = await self._http.get(
                self.settings.rest_root + call.path, params=dict(parameters), headers=headers
            )
        except httpx.HTTPError as error:
            raise VenueBusyError(f"KIS {call.path}: {type(error).__name__}") from error
        try:
            envelope = codec.decode_envelope(answer.content)
        except DecodeError as error:
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise VenueBusyError(f"KIS {call.path}: HTTP {answer.status_code}") from error
            raise
        if envelope.rt_cd != "0":
            raise self._problem(envelope, token, is_order=False)
        return Answer(answer.content, answer.headers.get("tr_cont", "") in _MORE)

    async def _prepared(self, call: wire.Call) -> Secret:
        quotas = (QuotaName.REST, QuotaName.LEDGER) if call.is_ledger else (QuotaName.REST,)
        token = await self._access.token()
        await self._acquire(quotas)
        return token

    def _problem(self, envelope: wire.Envelope, token: Secret, *, is_order: bool) -> JtsError:
        problem = error_for(envelope.msg_cd, envelope.msg1, is_order=is_order)
        if isinstance(problem, TokenError):
            self._access.forget(token)
        return problem

    def _headers(self, call: wire.Call, token: Secret) -> dict[str, str]:
        return {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {token.reveal()}",
            "appkey": self._access.keys.app_key.reveal(),
            "appsecret": self._access.keys.app_secret.reveal(),
            "tr_id": call.tr_id_in(self.settings.environment),
            "custtype": "P",
        }


def _asking(gate: Gate) -> Callable[[str, object], Awaitable[None]]:
    """Return a trace of httpcore that asks a gate when the first byte is about to be written."""

    async def trace(name: str, _: object) -> None:
        if name.endswith(_FIRST_BYTE):
            gate()

    return trace
