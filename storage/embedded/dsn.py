"""Connection URLs of PostgreSQL, in the two spellings that the libraries want.

SQLAlchemy 2.1 takes `postgresql://` to mean psycopg 3, which is not installed; dagster-postgres
and we use psycopg2. So every URL that goes to SQLAlchemy names its driver, and libpq, which knows
no driver, gets the URL without.
"""

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from storage.errors import InputError

_SQLALCHEMY_SCHEME = "postgresql+psycopg2"
_SCHEMES = ("postgres", "postgresql", _SQLALCHEMY_SCHEME)


def normalise_dsn(url: str) -> str:
    """Return a user's PostgreSQL URL in the form that SQLAlchemy opens with psycopg2.

    Args:
        url: `postgresql://`, `postgres://` or `postgresql+psycopg2://`.

    Raises:
        InputError: The URL names another scheme or driver, or no database.
    """
    text = url.strip()
    scheme = urlsplit(text).scheme
    if scheme not in _SCHEMES or not text.startswith(f"{scheme}://"):
        raise InputError(
            f"postgres.dsn has the scheme {scheme or '(none)'}; "
            f"accepted: {', '.join(f'{name}://' for name in _SCHEMES)}"
        )
    rest = text.removeprefix(scheme)
    if not urlsplit(f"postgresql{rest}").path.strip("/"):
        raise InputError("postgres.dsn names no database; accepted: postgresql://host/database")
    return _SQLALCHEMY_SCHEME + rest


def libpq_url(dsn: str) -> str:
    """Return the DSN as libpq and psycopg2 read it: `postgresql://` without a driver.

    A keyword form (`host=... dbname=...`) is returned as it is.
    """
    scheme, separator, rest = dsn.strip().partition("://")
    if not separator:
        return dsn.strip()
    if scheme not in _SCHEMES:
        raise InputError(f"postgres.dsn has the scheme {scheme}; accepted: {', '.join(_SCHEMES)}")
    return f"postgresql://{rest}"


def socket_dsn(socket_dir: Path, database: str, user: str = "postgres") -> str:
    """Return the SQLAlchemy URL of a database behind a Unix socket."""
    host = quote(str(socket_dir), safe="/")
    return f"{_SQLALCHEMY_SCHEME}://{quote(user)}@/{quote(database)}?host={host}"


def without_password(url: str) -> str:
    """Return the URL with its password masked, for messages and logs."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user = parts.username or ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
