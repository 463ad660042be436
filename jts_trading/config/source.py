"""Configuration: `jts.toml` and `JTS_...` environment variables, read once.

The bottom room: it knows no settings struct of any other room. Each room declares its own
(`msgspec.Struct(frozen=True, forbid_unknown_fields=True)`), and whoever composes a process asks
`source.load(StorageSettings, "storage")`.

A file has one table per section. An environment variable overrides one key:
`JTS_<SECTION>__<KEY>`, nested tables with further double underscores; values are read as TOML
where they parse as TOML, otherwise as text. `JTS_HOME` and `JTS_PORT_BASE` are short for keys of
`instance`. Unknown sections, keys and variables are refused with the nearest known name.
"""

import difflib
import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

SHORT_NAMES = {
    "JTS_HOME": ("instance", "home"),
    "JTS_PORT_BASE": ("instance", "port_base"),
}
# Read by the start script, the tests, the compilers or this module itself: no keys of a section.
OTHER_NAMES = frozenset(
    {
        *("JTS_CONFIG", "JTS_TEST_DATA", "JTS_PYTHON", "JTS_DAGSTER_PG_URL"),
        *("JTS_CHECKED_KERNELS", "JTS_SUPERVISOR_PID"),
    }
)


class ConfigError(Exception):
    """A key that is unknown, missing or of the wrong type; the message names it and its source."""


def _nearest(name: str, known: Collection[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"; did you mean {match[0]}?" if match else ""
    return f"{hint} (known: {', '.join(sorted(known))})"


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Parsed settings, not yet typed: `{section: {key: value}}` and where each key came from.

    Attributes:
        values: Keys and values per section.
        origins: `section.key` to the file or variable that set it; `""` is the file.
        file: Absolute path of the file that was read, or None.
        dagster_pg_url: The value of `JTS_DAGSTER_PG_URL`, or None.
    """

    values: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None
    dagster_pg_url: str | None = None

    def origin(self, key: str) -> str:
        """Return where a key came from: a file or a variable; of `a.b[0].c`, where `a.b` did."""
        found = self.origins.get(key) or self.origins.get(key.partition("[")[0])
        return found or self.origins.get("", "configuration")

    def place(self, path: str, key: str) -> Path:
        """Return a path of the configuration as an absolute one, relative to its file.

        Roles run in another working directory than whoever started them, so a relative path has
        to stand in a file.

        Args:
            path: As it is configured.
            key: The key that holds it, for the message.

        Raises:
            ConfigError: It is relative and there is no file.
        """
        found = Path(path).expanduser()
        if found.is_absolute():
            return found
        if self.file is None:
            raise ConfigError(
                f"{self.origin(key)}: {key} is {path!r}; accepted: an absolute path, or in a "
                "configuration file one relative to it"
            )
        return Path(self.file).parent / found

    def load(self, struct_type: type[T], section: str) -> T:
        """Build the settings of one section.

        Args:
            struct_type: What the section becomes.
            section: Its name; with a dot, a table within a table: `brokers.kis`.

        Raises:
            ConfigError: A key is unknown, missing or of the wrong type.
        """
        values = {key: _plain(value) for key, value in self._table(section).items()}
        known = {f.encode_name for f in msgspec.structs.fields(struct_type)}  # type: ignore[arg-type]
        for key in values:
            if key not in known:
                origin = self.origins.get(f"{section}.{key}", "configuration")
                raise ConfigError(f"{origin}: unknown key {section}.{key}{_nearest(key, known)}")
        try:
            return msgspec.convert(values, struct_type)
        except msgspec.ValidationError as error:
            raise ConfigError(self._explain(section, str(error))) from error

    def _table(self, section: str) -> Mapping[str, Any]:
        table: Mapping[str, Any] = self.values
        for part in section.split("."):
            inner = table.get(part, {})
            if not isinstance(inner, Mapping):
                raise ConfigError(f"{self.origin(section)}: {section} is not a table")
            table = inner
        return table

    def _explain(self, section: str, message: str) -> str:
        what, _, path = message.partition(" - at `$")
        key = section + path.rstrip("`") if path else section
        return f"{self.origin(key)}: {key}: {what}"

    def require_sections(self, known: Collection[str]) -> None:
        """Refuse a section that nobody reads.

        Args:
            known: Names of sections; `brokers.kis` also says that `brokers` holds nothing else.

        Raises:
            ConfigError: The file or a variable names another section.
        """
        outer = {name.partition(".")[0] for name in known}
        for section, table in self.values.items():
            if section not in outer:
                origin = self.origins.get(section, "configuration")
                raise ConfigError(f"{origin}: unknown section {section}{_nearest(section, outer)}")
            if section in known:
                continue
            inner = {name.partition(".")[2] for name in known if name.startswith(f"{section}.")}
            for key in table:
                if key not in inner:
                    origin = self.origin(f"{section}.{key}")
                    raise ConfigError(f"{origin}: unknown {section}.{key}{_nearest(key, inner)}")


def read(environ: Mapping[str, str] | None = None, path: Path | None = None) -> ConfigSource:
    """Read the configuration file and the environment.

    Args:
        environ: Variables; the process environment when None.
        path: The file; else `JTS_CONFIG`, else `jts.toml` in the working directory if it exists.

    Raises:
        ConfigError: The file is missing or not TOML, or a `JTS_` variable is unknown.
    """
    variables = os.environ if environ is None else environ
    named = path or (Path(variables["JTS_CONFIG"]) if variables.get("JTS_CONFIG") else None)
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    file = named or Path("jts.toml")
    if file.exists():
        _read_file(file, values, origins)
    elif named is not None:
        raise ConfigError(f"{named}: no such configuration file (JTS_CONFIG)")
    for name in sorted(variables):
        if name.startswith("JTS_") and name not in OTHER_NAMES:
            _read_variable(name, variables[name], values, origins)
    read_file = str(file.absolute()) if file.exists() else None
    return ConfigSource(values, origins, read_file, variable("JTS_DAGSTER_PG_URL", variables))


def child_environment(
    overrides: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment for a program that this one starts, with some variables replaced."""
    return {**(os.environ if environ is None else environ), **overrides}


def variable(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return one of the variables that are not settings (`JTS_TEST_DATA`), or None."""
    if name not in OTHER_NAMES:
        raise ConfigError(f"{name} is not one of {', '.join(sorted(OTHER_NAMES))}")
    return (os.environ if environ is None else environ).get(name) or None


def _read_file(file: Path, values: dict[str, dict[str, Any]], origins: dict[str, str]) -> None:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not a TOML file: {error}") from error
    origins[""] = str(file)
    for section, table in document.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {section} stands outside a section; write [section] first")
        values[section] = dict(table)
        origins[section] = str(file)
        for key in table:
            origins[f"{section}.{key}"] = str(file)


def _read_variable(
    name: str, text: str, values: dict[str, dict[str, Any]], origins: dict[str, str]
) -> None:
    if name in SHORT_NAMES:
        path = list(SHORT_NAMES[name])
    else:
        path = name.removeprefix("JTS_").lower().split("__")
    if len(path) < 2 or not all(path):
        known = {*SHORT_NAMES, *OTHER_NAMES, "JTS_<SECTION>__<KEY>"}
        raise ConfigError(f"environment: unknown variable {name}{_nearest(name, known)}")
    section, *keys = path
    table = values.setdefault(section, {})
    for key in keys[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"environment {name}: {key} is not a table")
        table = inner
    # A directory may be called 2025: the data root is always text.
    table[keys[-1]] = text if name == "JTS_HOME" else _as_toml(text)
    origins.setdefault(section, f"environment {name}")
    origins[".".join(path)] = f"environment {name}"


def _plain(value: Any) -> Any:
    """Return TOML's dates and times as ISO 8601 text, from which any type of ours is made."""
    return value.isoformat() if isinstance(value, date | time) else value


def _as_toml(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
