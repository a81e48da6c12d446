"""The address of a database: checked before anybody else reads it, and what in it is secret.

libpq and dbmate quote what they cannot read, and in an address that is not quite one (a password
with a `%`, `/` or space in it) that is the password. So only what is well formed reaches them.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from engine.errors import InputError

_TEXT = r"(?:[^\s%@/?#\[\]:,\x00-\x1f]|%[0-9a-fA-F]{2})"
_HOST = rf"(?:\[[0-9a-fA-F:.]+\]|{_TEXT}+)?(?::[0-9]{{1,5}})?"
_ADDRESS = re.compile(
    rf"postgres(?:ql)?://(?:{_TEXT}*(?::(?:{_TEXT}|[:,])*)?@)?{_HOST}(?:,{_HOST})*"
    rf"(?:/{_TEXT}*)?(?:\?(?:[^\s%#@]|%[0-9a-fA-F]{{2}})*)?"
)


def checked_address(url: str) -> str:
    """Return the URL. Raises InputError, which does not quote it, unless it is a Postgres's."""
    if not _ADDRESS.fullmatch(url):
        raise InputError(
            "the address of the database is none: postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
            " and write signs such as @ / # % ? and spaces in a password as %40 %2F %23 %25 %3F %20"
        )
    return url


def passwords(url: str) -> list[str]:
    """Return the passwords in an address, as they stand there and as they are meant."""
    parts = urlsplit(url)
    queried = [value for name, value in parse_qsl(parts.query) if "password" in name]
    written = parts.password or ""
    return [text for text in {written, unquote(written), *queried} if text]
