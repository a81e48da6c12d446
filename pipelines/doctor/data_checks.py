"""Does the database answer, is it the right one, does anything wait for it, is all collected?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from engine.errors import KrtError, SchemaIsNewer, StoreError, StoreLoginRefused, StoreUnreachable
from engine.settings import DATABASE_FILE
from engine.store import embedded_server
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.embedded.cluster import data_folder
from engine.store.migrations import migrations_missing
from engine.store.spool import ASIDE, Spool
from pipelines.doctor.finding import Finding, Situation
from pipelines.feed import configured_feed
from pipelines.reports.standing import present_moment, read_standing
from pipelines.reports.status import sentences

_ABOUT = (
    "SELECT split_part(current_setting('server_version'), ' ', 1) AS version,"
    " pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only,"
    " pg_database_size(current_database()) AS bytes, current_user::text AS name,"
    " to_regclass('public.data_origin') IS NOT NULL AS migrated"
)
_TESTED = 18  # the version of Postgres that everything is tested on


def check_database(situation: Situation) -> Iterator[Finding]:
    """Connect, and look at version, schema, rights and data; the embedded server is started."""
    if situation.trouble:
        yield Finding(
            "database", "unknown", "the configuration cannot be read", "see configuration"
        )
        return
    url = situation.settings.database.url
    try:
        if url is not None:
            yield from _look(situation, url, "your server")
            return
        folder = situation.settings.folder(situation.kind)
        if not data_folder(folder.resolve()).exists():
            yield Finding("database", "well", f"none yet: `just live` makes one in {folder}")
            return
        with embedded_server(folder) as embedded:
            yield from _look(situation, embedded, "the embedded server")
    except KrtError as error:
        yield Finding("database", "amiss", str(error), _remedy(error))


def check_spool(situation: Situation) -> Iterator[Finding]:
    """Count the batches that wait for the database or were set aside."""
    folder = situation.settings.folder(situation.kind) / "spool"
    if not folder.is_dir():
        yield Finding("spool", "well", "empty")
        return
    spool = Spool(folder)
    waiting, size = spool.size()
    aside = {why: len(spool.aside(why)) for why in ASIDE}
    if found := [f"{count} {why}" for why, count in aside.items() if count]:
        yield Finding(
            "spool",
            "amiss",
            f"{waiting} batches wait, {' and '.join(found)} in {folder}",
            "`just spool` lists them, the log says why; then `just spool --retry`",
        )
        return
    if waiting:
        yield Finding(
            "spool",
            "amiss",
            f"{waiting} batches ({size / 1e6:.1f} MB) wait for the database",
            "the next `just live` stores them, or `just spool --retry` now",
        )
        return
    yield Finding("spool", "well", "empty")


def _look(situation: Situation, url: str, which: str) -> Iterator[Finding]:
    missing = migrations_missing(url)
    with (
        closing(Connection(url, "doctor")) as connection,
        connection.transaction(read_only=True) as cursor,
    ):
        about = fetch_frame(cursor, _ABOUT).row(0, named=True)
        says = f"{which}, Postgres {about['version']}, {about['bytes'] / 1e9:.2f} GB"
        embedded = situation.settings.database.url is None
        if about["read_only"]:
            yield Finding(
                "database",
                "amiss",
                f"{says}, read-only: nothing can be stored; batches go to the spool",
                "a standby, or default_transaction_read_only: name the primary",
            )
        elif missing and not embedded:
            yield Finding(
                "database", "amiss", f"{says}, {missing} migrations behind", "`just migrate`"
            )
        elif (found := re.match(r"\d+", about["version"])) and int(found[0]) < _TESTED:
            yield Finding(
                "database", "unknown", f"{says}: tried on {_TESTED} alone", "use that if it fails"
            )
        else:
            schema = (
                f"{missing} migrations come with the next command" if missing else "newest schema"
            )
            yield Finding("database", "well", f"{says}, {schema}, user {about['name']}")
        if about["migrated"] and not missing:
            yield from _collected(situation, cursor)


def _collected(situation: Situation, cursor: Cursor) -> Iterator[Finding]:
    """Say which data it holds and how the collecting stands, in the words of `just status`."""
    ask = partial(fetch_frame, cursor)
    recorded = ask("SELECT kind FROM data_origin")["kind"].to_list()
    if recorded and recorded[0] != situation.kind:
        key = "a key" if situation.kind == "live" else "no key"
        yield Finding(
            "data",
            "amiss",
            f"the database holds {recorded[0]} data, and there is {key}: `just live` refuses",
            "name another database, or see key",
        )
        return
    simulated = situation.kind == "simulation"
    feed = None if simulated else configured_feed(situation.settings)
    now = present_moment(ask, situation.clock, simulated=simulated)
    standing = read_standing(ask, now, simulated=simulated, feed=feed)
    state, remedy = standing.state, "`just status` says what; `just backfill` fetches it"
    if state == "unknown":  # nothing was collected yet: that is not a fault
        state, remedy = "well", ""
    says = "; ".join(line.lstrip("✅⚠️❌ ") for line in sentences(standing))
    yield Finding("data", state, says, remedy)


def _remedy(error: KrtError) -> str:
    if isinstance(error, SchemaIsNewer):
        return "upgrade the program: `git pull`, `uv sync`"
    if isinstance(error, StoreLoginRefused):
        return f"check user, password and name of the database in {DATABASE_FILE}"
    if isinstance(error, StoreUnreachable):
        return f"is the server running, and its address in {DATABASE_FILE} right?"
    if isinstance(error, StoreError):
        return "see the log of Postgres in the data folder; docs/operations.md explains the message"
    return "docs/operations.md explains the message"
