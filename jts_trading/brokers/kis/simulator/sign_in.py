"""Tokens, approval keys and quotas of the simulated host: who may call, and how often."""

import uuid
from collections.abc import Callable

import msgspec

from jts_trading.brokers.kis.limits import NS_PER_S, QUOTAS, Quota, QuotaName, SlidingWindow
from jts_trading.brokers.kis.simulator.answers import kst
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.simulation.http import Reply


def refusal(status: int, code: str, text: str) -> Reply:
    """Return the envelope of a refused call; texts are padded, as the venue pads them."""
    body = {"rt_cd": "1", "msg_cd": code, "msg1": text.ljust(60)}
    return Reply(status, msgspec.json.encode(body))


class SignIn:
    """Sign-in of one app key.

    Args:
        settings: The host.
        now_ns: Time of the market (UTC ns): tokens live in it.
        monotonic_ns: Time in which quotas are counted.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        now_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._token = ""
        self._issued_ns = 0
        self._expires_ns = 0
        self._asked_ns: int | None = None
        self._approvals: set[str] = set()
        quotas = QUOTAS[settings.environment]
        self._rest = SlidingWindow(_override(quotas[QuotaName.REST], settings.calls_per_s))
        self._ledger = SlidingWindow(
            _override(quotas[QuotaName.LEDGER], settings.ledger_calls_per_s)
        )
        self.tokens_issued = 0

    def token(self, body: dict[str, str]) -> Reply:
        """Answer `/oauth2/tokenP`: at most one a minute, the same within six hours."""
        if body.get("appkey") != self._settings.app_key:
            return _denied("EGW00103", "유효하지 않은 AppKey입니다.")
        if body.get("appsecret") != self._settings.app_secret:
            return _denied("EGW00105", "유효하지 않은 AppSecret입니다.")
        asked, now = self._monotonic_ns(), self._now_ns()
        if self._asked_ns is not None and asked - self._asked_ns < (
            self._settings.token_every_s * NS_PER_S
        ):
            return _denied("EGW00133", "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)")
        self._asked_ns = asked
        is_same = now - self._issued_ns < self._settings.token_same_s * NS_PER_S
        if not self._token or not is_same or now >= self._expires_ns:
            self._token = f"simulated.{uuid.uuid4().hex}"
            self._issued_ns = now
            self._expires_ns = now + self._settings.token_life_s * NS_PER_S
            self.tokens_issued += 1
        answer = {
            "access_token": self._token,
            "access_token_token_expired": f"{kst(self._expires_ns):%Y-%m-%d %H:%M:%S}",
            "token_type": "Bearer",
            "expires_in": (self._expires_ns - now) // NS_PER_S,
        }
        return Reply(200, msgspec.json.encode(answer))

    def revoke(self, body: dict[str, str]) -> Reply:
        """Answer `/oauth2/revokeP`."""
        if body.get("token") == self._token:
            self._token = ""
        answer = {"code": 200, "message": "접근토큰 폐기에 성공하였습니다."}
        return Reply(200, msgspec.json.encode(answer))

    def approval(self, body: dict[str, str]) -> Reply:
        """Answer `/oauth2/Approval`; the secret is called `secretkey` there."""
        is_known = (body.get("appkey"), body.get("secretkey")) == (
            self._settings.app_key,
            self._settings.app_secret,
        )
        if not is_known:
            return _denied("EGW00105", "유효하지 않은 AppSecret입니다.")
        key = str(uuid.uuid4())
        self._approvals.add(key)
        return Reply(200, msgspec.json.encode({"approval_key": key}))

    def is_approved(self, approval_key: str) -> bool:
        """Return whether a socket may subscribe with this key."""
        return approval_key in self._approvals

    def expire(self) -> None:
        """Let the token end now."""
        self._expires_ns = self._now_ns()
        self._issued_ns = 0

    def check(self, headers: "Headers", *, is_ledger: bool) -> Reply | None:
        """Return the refusal of a call, or None if it may go on."""
        return self._identity_refusal(headers) or self._quota_refusal(is_ledger=is_ledger)

    def _identity_refusal(self, headers: "Headers") -> Reply | None:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        keys = (headers.get("appkey"), headers.get("appsecret"))
        if not token:
            return refusal(500, "EGW00122", "유효하지 않은 token 입니다.")
        if keys != (self._settings.app_key, self._settings.app_secret):
            return refusal(500, "EGW00103", "유효하지 않은 AppKey입니다.")
        if token != self._token:
            return refusal(500, "EGW00121", "유효하지 않은 token 입니다.")
        if self._now_ns() >= self._expires_ns:
            return refusal(500, "EGW00123", "기간이 만료된 token 입니다.")
        return None

    def _quota_refusal(self, *, is_ledger: bool) -> Reply | None:
        now = self._monotonic_ns()
        if self._rest.take(now):
            return refusal(500, "EGW00201", "초당 거래건수를 초과하였습니다.")
        if is_ledger and self._ledger.take(now):
            return refusal(500, "EGW00215", "원장에서 허용 가능한 초당 거래건수를 초과하였습니다.")
        return None


Headers = dict[str, str]


def _override(quota: Quota, calls: int | None) -> Quota:
    return quota if calls is None else Quota(calls, quota.window_ns)


def _denied(code: str, text: str) -> Reply:
    return Reply(403, msgspec.json.encode({"error_description": text, "error_code": code}))
