"""The reader's role: whatever only looks can read everything and change nothing.

Three things hold a query of a user back, and each would do for most of them: it must be a statement
that reads (`check_reads`), its transaction is read-only, and the role `krt_reader` has no right to
anything else. On the embedded server we connect as that role, so nothing a query calls can give the
rights of the owner back. On your own server we take the role after connecting as your user.
"""

from __future__ import annotations

import logging
import re
import sys
from urllib.parse import quote

import polars as pl

from engine.errors import InputError
from engine.store.connection import Connection, fetch_frame
from engine.store.identifiers import literal
from engine.store.metadata import roles_sql
from engine.store.pooler import behind_transaction_pooler

log = logging.getLogger(__name__)

ROLE = "krt_reader"
_CURRENT_USER = """
SELECT current_user::text AS name,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
       coalesce((SELECT has_table_privilege(oid, 'system_status', 'SELECT')
                 FROM pg_roles WHERE rolname = 'krt_reader'), false) AS ready,
       coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER')
                 FROM pg_roles WHERE rolname = 'krt_reader'), false) AS member
"""
_LOGIN = re.compile(r"^(postgres(?:ql)?://)postgres(?=[:@])")  # the embedded server's user

_READING = ("select", "with", "values", "table", "explain", "show")
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*([^\W\d]\w*)?", re.DOTALL)
# What a query could call to leave the role, to run SQL given as text, to reach files, programs and
# other servers, or to get in the way of others. Most is refused by the role, too; your own server
# may not have it.
_NEVER_CALLED = re.compile(
    r"\b(set_config|query_to_xml\w*|cursor_to_xml\w*|ts_stat|ts_rewrite|dblink\w*|crosstab\w*"
    r"|connectby|xpath_table|pg_read_\w+|pg_ls_\w+|pg_stat_file|pg_file_\w+|pg_terminate_backend"
    r"|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile\w*|pg_promote|pg_switch_wal"
    r"|pg_create_\w+|pg_drop_\w+|pg_logical_\w+|pg_replication_\w+|pg_notify|lo_\w+|loread|lowrite"
    r"|pg_(?:try_)?advisory_\w+|pg_log_\w+|pg_get_process_memory_contexts|pg_backup_\w+"
    r"|pg_stat(?:_\w+)?_reset\w*|pg_wal_\w+|pg_copy_\w+|pg_sync_\w+|pg_import_\w+|pg_current_logfile"
    r"|pg_hba_file_rules|pg_ident_file_mappings|pg_file_settings|pg_show_all_file_settings)\b",
    re.IGNORECASE,
)
# A call of a function whose name is written in escapes could be a call of one of those.
_ESCAPED_CALL = re.compile(r"\bU&\"(?:[^\"]|\"\")*\"\s*(?:\(|uescape|--|/\*)", re.IGNORECASE)


def reader_url(url: str, *, embedded: bool = False) -> str:
    """Return the URL with the reader's rights: it can read everything and change nothing.

    On the embedded server, and wherever the user is superuser, the reader's role is created if it
    does not exist. On your own server it is used if your user may use it (`just db-roles`).
    Otherwise, and behind a pooler, which does not pass on roles, your user's own rights apply, but
    our transactions are read-only all the same. Raises StoreUnreachable.
    """
    connection = Connection(url, "reader")
    try:
        user = _current_user(connection)
        if user["super"] and not user["ready"]:
            with connection.transaction() as cursor:
                cursor.execute(roles_sql())
            user = _current_user(connection)
        if embedded:
            return _login(connection, url)
    finally:
        connection.close()
    if user["name"] == ROLE:
        return url
    if not (user["ready"] and user["member"]) or behind_transaction_pooler(url, "reader"):
        log.warning("⚠️ reading as %s: the role %s cannot be used here", user["name"], ROLE)
        return url
    return _with_options(url, role=ROLE)


def check_reads(sql: str) -> None:
    """Refuse a query that does anything but read, before it is sent. Raises InputError.

    The words are looked for in the whole text, in quotes too: a query is text, and text can be run.
    """
    found = _FIRST_WORD.match(sql)
    first = found.group(1) if found else None
    if first is None:
        return  # nothing, or what is not SQL: the database says what is wrong with it
    if first.lower() not in _READING:
        known = ", ".join(word.upper() for word in _READING)
        raise InputError(f"{first} is refused: queries are read-only and begin with {known}")
    if called := _NEVER_CALLED.search(sql):
        raise InputError(
            f"{called.group(1)} is refused: queries are read-only and only read tables"
        )
    if _ESCAPED_CALL.search(sql):
        raise InputError('U&"…" is refused: write the name as it is')


def _login(connection: Connection, url: str) -> str:
    """Return the embedded server's URL as the reader; on Windows it has the owner's password."""
    if sys.platform == "win32":
        password = url.partition("://postgres:")[2].partition("@")[0]
        with connection.transaction() as cursor:
            cursor.execute(f"ALTER ROLE {ROLE} PASSWORD {literal(password)}")
    return _with_options(_LOGIN.sub(rf"\g<1>{ROLE}", url))


def _with_options(url: str, **options: str) -> str:
    """Return the URL with options of the session, read-only transactions among them."""
    wanted = {**options, "default_transaction_read_only": "on"}
    text = quote(" ".join(f"-c {name}={value}" for name, value in wanted.items()), safe="")
    return f"{url}{'&' if '?' in url else '?'}options={text}"


def _current_user(connection: Connection) -> dict[str, object]:
    with connection.transaction(read_only=True) as cursor:
        return next(pl.DataFrame(fetch_frame(cursor, _CURRENT_USER)).iter_rows(named=True))
