"""The section `logging`: what is written to logs, and how."""

from typing import Literal

import msgspec


class LoggingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `logging`.

    Attributes:
        level: The least severe level that is written.
        format: `json` for one object a line, `text` for people.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
