"""Secrets that do not show, and the text filter that removes them from what is written down.

A `Secret` masks itself wherever it is turned into text. A `Redactor` knows secret values and masks
them in any text, also in the forms that quoting gives them, because a value may reach a log
through an exception or a foreign library.
"""

import base64
import hmac
import json
import re
from typing import NoReturn
from urllib.parse import quote, quote_plus

MASK = "***"
# A shorter value is masked only where it stands alone: it may be part of ordinary words.
_SUBSTRING_LENGTH_MIN = 6
_QUOTING_DEPTH = 3
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)([^\s/:@\"']*):([^\s/@\"']+)@")
_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|token|api_?key|app_?key|access_?key|private_?key|authorization"
    r"|credential|cookie|signature|bearer|^pin$|^pwd$",
    re.IGNORECASE,
)


class Secret:
    """A value that shows as `***` in repr, str, format and logs, and refuses to be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself; call it where the value is used, and keep no copy."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return format(MASK, format_spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: it would leave the process in the clear")


class Redactor:
    """Masks registered values, and passwords inside URLs, in text.

    One per process, filled by whoever loads secrets, before the first line is logged.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secret: Secret) -> Secret:
        """Remember a value that must never be written down; returns the secret."""
        value = secret.reveal()
        if value.strip():
            self._values.update(_spellings(value))
            # Longest first, so that no part of a value survives a shorter one inside it.
            parts = sorted(self._values, key=lambda text: (-len(text), text))
            self._pattern = re.compile("|".join(_as_pattern(part) for part in parts))
        return secret

    def text(self, text: str) -> str:
        """Return the text with every known secret masked."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        return _CREDENTIALS_IN_URL.sub(rf"\1:{MASK}@", text)


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name holds a secret, whatever its value."""
    return _SECRET_NAME.search(name) is not None


def _spellings(value: str) -> set[str]:
    encoded = value.encode(errors="surrogatepass")
    spellings = {
        value,
        quote(encoded, safe=""),
        quote_plus(encoded),
        repr(value)[1:-1],
        base64.b64encode(encoded).decode(),
        base64.urlsafe_b64encode(encoded).decode().rstrip("="),
        encoded.hex(),
    }
    # A log line quotes the body of a request that quotes a document; most values stay the same.
    for _ in range(_QUOTING_DEPTH):
        spellings |= {json.dumps(text)[1:-1] for text in spellings} | {
            json.dumps(text, ensure_ascii=False)[1:-1] for text in spellings
        }
    return spellings


def _as_pattern(value: str) -> str:
    escaped = re.escape(value)
    return escaped if len(value) >= _SUBSTRING_LENGTH_MIN else rf"(?<!\w){escaped}(?!\w)"
