"""The promise of the merge: whatever happens to batches on their way, the table is the same.

Any order, repetition, splitting, grouping and interleaving by two writers, and a writer or its
connection dying between any two statements, must give the table that applying the batches once in
order gives. KIS's corrections are modelled as versions: a bar read later has the same or a newer
value. The feed may give any value, right or wrong, at any time: what REST gives stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import polars as pl
import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from engine.errors import KrtError
from engine.schemas import FEED, REST
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.merge import complete_rows, merge_tables
from engine.store.table_setup import make_partitions
from engine.store.tables import TABLES
from tests.engine.store.data import FETCHED, MINUTE, OPEN, batch

TABLE = TABLES["futures_1m"]
SYMBOLS = ("A01612", "A01703", "101W09")
MINUTES = 5
KEYS = [(symbol, minute) for symbol in SYMBOLS for minute in range(MINUTES)]

Rows = list[
    tuple[str, int, int]
]  # symbol, minute, version at which it was read; the feed's below 0


def value(symbol: str, minute: int, version: int) -> float:
    """Return the bar's close at a version: KIS corrects it now and then, the feed may be wrong."""
    wrong = 0.5 if version < 0 and version % 2 else 0.0
    return float(abs(version) // (1 + (SYMBOLS.index(symbol) + minute) % 4)) + wrong


def as_batch(rows: Rows) -> pa.RecordBatch:
    frame = pl.DataFrame(
        [
            (
                OPEN + minute * MINUTE,
                symbol,
                value(symbol, minute, version),
                FETCHED + timedelta(seconds=abs(version)),
                FEED if version < 0 else REST,
            )
            for symbol, minute, version in rows
        ],
        schema={
            "timestamp": pl.Datetime("us"),
            "symbol": pl.String,
            "close": pl.Float64,
            "fetched_at": pl.Datetime("us"),
            "source": pl.String,
        },
        orient="row",
    )
    prices = {name: pl.col("close") for name in ("open", "high", "low")}
    return batch(frame.with_columns(**prices, volume=pl.lit(1, pl.Int64)), TABLE.schema)


class Crash(Exception):
    """The writer dies."""


class MortalConnection(Connection):
    """A connection whose writer dies, or whose server process is killed, before a statement."""

    def __init__(self, url: str, *, dies_before: int, killer: Connection | None) -> None:
        super().__init__(url, "mortal")
        self.left = dies_before
        self.killer = killer

    @contextmanager
    def transaction_selecting(
        self, *columns: str, **named: Any
    ) -> Iterator[tuple[Cursor, pl.DataFrame]]:
        with super().transaction_selecting(*columns, **named) as (cursor, answer):
            yield _MortalCursor(cursor, self), answer

    def _select_first(
        self, cursor: Cursor, columns: Sequence[str], lock_timeout: str
    ) -> pl.DataFrame:
        return super()._select_first(_MortalCursor(cursor, self), columns, lock_timeout)


class _MortalCursor:
    def __init__(self, cursor: Cursor, connection: MortalConnection) -> None:
        self._cursor = cursor
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        if name in ("execute", "adbc_ingest"):
            self._count_down()
        return getattr(self._cursor, name)

    def _count_down(self) -> None:
        self._connection.left -= 1
        if self._connection.left != 0:
            return
        if self._connection.killer is None:
            raise Crash
        pid = fetch_frame(self._cursor, "SELECT pg_backend_pid()").item()
        self._connection.killer.query(f"SELECT pg_terminate_backend({pid}, 5000)")


def keep_latest(stored: dict[tuple[str, int], int], rows: Rows) -> None:
    """Keep REST's newest version of each bar, and the feed's newest where REST gave none."""
    for symbol, minute, version in rows:
        known = stored.get((symbol, minute), version)
        same_source = (known < 0) == (version < 0)
        newer = abs(version) > abs(known) if same_source else known < 0
        stored[symbol, minute] = version if newer else known


class MergeMachine(RuleBasedStateMachine):
    url: str
    batches = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.writers = [Connection(self.url, "first"), Connection(self.url, "second")]
        self.model: dict[tuple[str, int], int] = {}
        self.inserted = self.changed = self.version = 0
        self.given_by_rest: set[float] = set()

    @initialize()
    def start(self) -> None:
        self.writers[0].execute_alone("TRUNCATE futures_1m, replaced_bars")

    def teardown(self) -> None:
        for writer in self.writers:
            writer.close()

    def merge(self, writer: Connection, batches: list[Rows]) -> None:
        rest = (row for rows in batches for row in rows if row[2] > 0)
        self.given_by_rest |= {value(*row) for row in rest}
        rows = complete_rows(TABLE, [as_batch(rows) for rows in batches], FETCHED)
        counts = merge_tables(writer, [(TABLE, rows)])[0]
        self.inserted += counts["inserted"].sum()
        self.changed += counts["changed"].sum()
        for batch_rows in batches:
            keep_latest(self.model, batch_rows)

    @rule(target=batches, keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=8))
    def fetch(self, keys: list[tuple[str, int]]) -> Rows:
        """An answer of KIS; a key may stand in it twice."""
        self.version += 1
        return [(symbol, minute, self.version) for symbol, minute in keys]

    @rule(target=batches, keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4))
    def follow(self, keys: list[tuple[str, int]]) -> Rows:
        """Bars of the feed."""
        self.version += 1
        return [(symbol, minute, -self.version) for symbol, minute in dict.fromkeys(keys)]

    @rule(rows=batches, by=st.sampled_from([0, 1]))
    def merge_one(self, rows: Rows, by: int) -> None:
        """Any fetched batch, in any order, any number of times, by either writer."""
        self.merge(self.writers[by], [rows])

    @rule(rows=batches, by=st.sampled_from([0, 1]), at=st.integers(0, 8))
    def merge_split(self, rows: Rows, by: int, at: int) -> None:
        for part in (rows[at:], rows[:at]):
            if part:
                self.merge(self.writers[by], [part])

    @rule(first=batches, second=batches)
    def merge_grouped(self, first: Rows, second: Rows) -> None:
        """Two batches in one commit; the version decides, whatever their order."""
        self.merge(self.writers[0], [first, second])

    @rule(first=batches, second=batches)
    def merge_at_once(self, first: Rows, second: Rows) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.merge, self.writers, [[first], [second]]))

    @rule(rows=batches, dies_before=st.integers(1, 6), killed=st.booleans())
    def die(self, rows: Rows, dies_before: int, killed: bool) -> None:
        killer = self.writers[1] if killed else None
        mortal = MortalConnection(self.url, dies_before=dies_before, killer=killer)
        try:
            self.merge(mortal, [rows])
        except (Crash, KrtError):
            assert mortal.left <= 0, "it failed of something else"
        finally:
            mortal.close()

    @invariant()
    def the_table_is_what_the_batches_say(self) -> None:
        stored = self.writers[0].query("SELECT symbol, timestamp, close FROM futures_1m")
        found = {
            (symbol, (timestamp - OPEN) // MINUTE): close
            for symbol, timestamp, close in pl.DataFrame(stored).iter_rows()
        }
        assert found == {(s, m): value(s, m, version) for (s, m), version in self.model.items()}

    @invariant()
    def nothing_is_counted_twice_or_replaced_silently(self) -> None:
        assert self.inserted == len(self.model)
        found = self.writers[0].query(
            "SELECT close, new_close, source, new_source FROM replaced_bars"
        )
        replaced = found.to_pylist()
        assert len(replaced) == self.changed
        assert all(row["close"] < row["new_close"] for row in replaced if row["source"] == REST)
        # What REST gave REST alone replaces, though the feed's row of the same values may stand.
        assert all(row["new_source"] == REST for row in replaced if row["source"] == REST)
        assert {row["new_close"] for row in replaced if row["source"] == REST} <= self.given_by_rest

    @invariant()
    def what_rest_gave_is_known_to_be_so(self) -> None:
        stored = self.writers[0].query(
            "SELECT symbol, timestamp, source, confirmed_at FROM futures_1m"
        )
        for row in stored.to_pylist():
            by_rest = self.model[row["symbol"], (row["timestamp"] - OPEN) // MINUTE] > 0
            assert (row["source"] == REST or row["confirmed_at"] is not None) == by_rest
            assert row["source"] == FEED or row["confirmed_at"] is None


def test_any_order_repetition_or_crash_of_merges_leads_to_the_same_table(database_url: str) -> None:
    connection = Connection(database_url, "test")
    with connection.transaction() as cursor:
        make_partitions(cursor, TABLE, ["a01", "101"])
    connection.close()
    MergeMachine.url = database_url
    examples = int(os.environ.get("KRT_SOAK_EXAMPLES", "8"))
    run_state_machine_as_test(
        MergeMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
