"""The bars of a lake: sealed history in Parquet files, which each worker reads for itself.

A lake is a folder that `just export` writes (docs/lake.md). Its files are sorted by symbol, so a
reader of some symbols skips the row groups of all others. Symbols here are codes: a lake does not
say which contract was in front.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl

from engine.columns import BARS
from engine.errors import InputError
from engine.market.nights import HALF_DAY, session_of
from engine.market.symbols import FrontMonth, FrontNight
from engine.market.trading_days import rules
from pipelines.evaluation.bars import symbol_with_bars, warm_up_start

_AT_ONCE = 60  # symbols that a task reads at most


@dataclass(frozen=True)
class Lake:
    """Bars of symbols in a lake, from the first date to the last."""

    files: tuple[str, ...]
    symbols: tuple[str, ...]
    first: date
    last: date

    def read(self, symbols: Sequence[str]) -> pl.DataFrame:
        """Return BARS of some symbols, by symbol and time. Raises InputError."""
        begin = datetime.combine(self.first, time())
        end = datetime.combine(self.last, time()) + timedelta(days=1) + HALF_DAY
        symbol = pl.col("symbol")
        session = session_of(symbol, pl.col("timestamp"))
        bars = (
            pl.scan_parquet(list(self.files), glob=False, hive_partitioning=False)
            .filter(symbol.is_between(pl.lit(min(symbols)), pl.lit(max(symbols))))
            .filter(symbol.is_in(list(symbols)))
            .filter(pl.col("timestamp").is_between(begin, end, closed="left"))
            .filter(session.is_between(self.first, self.last))
            .select(pl.col(name).cast(kind) for name, kind in BARS.items())
            .sort("symbol", "timestamp")
        )
        with _as_input_error():
            return bars.collect()

    def groups(self, workers: int) -> list[list[str]]:
        """Divide the symbols into neighbours to be read together, several groups a worker."""
        step = max(1, min(_AT_ONCE, len(self.symbols) // (4 * workers)))
        return [list(self.symbols[n : n + step]) for n in range(0, len(self.symbols), step)]

    def fingerprint(self) -> str:
        """Return a text that stands for the bars: all bytes of the files, a gigabyte a second."""
        digest = hashlib.blake2b(repr((self.symbols, self.first, self.last)).encode())
        for name in self.files:
            with Path(name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        return digest.hexdigest()[:16]


def open_lake(
    folder: Path,
    symbols: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    *,
    warm_up: int = 0,
) -> Lake:
    """Find the bars of codes in a lake, from `warm_up` sessions before start to end.

    Without symbols, those of all its stocks. Raises InputError if the lake has no such bars, or
    they cannot be read.
    """
    chosen = [symbol_with_bars(text) for text in symbols]
    if fronts := [s.code for s in chosen if isinstance(s, FrontMonth | FrontNight)]:
        raise InputError(f"--lake: {', '.join(fronts)} means several contracts: name their codes")
    tables = {symbol.table for symbol in chosen} or {"stocks_1m"}
    files = sorted(str(file) for table in tables for file in folder.glob(f"{table}/*/*/*.parquet"))
    if not files:
        raise InputError(f"--lake {folder} has no bars: `just export --to {folder}` writes them")
    codes = [symbol.code for symbol in chosen] or _symbols(files)
    first = min((warm_up_start(s, start, warm_up) for s in chosen), default=None)
    if first is None:
        first = warm_up_start(symbol_with_bars(codes[0]), start, warm_up)
    return Lake(tuple(files), tuple(sorted(set(codes))), first, end or rules()["last_day"])


def _symbols(files: Sequence[str]) -> list[str]:
    found = pl.scan_parquet(list(files), glob=False, hive_partitioning=False).select(
        pl.col("symbol").unique()
    )
    with _as_input_error():
        symbols: list[str] = found.collect(engine="streaming")["symbol"].drop_nulls().to_list()
    if not symbols or not all(isinstance(symbol, str) for symbol in symbols):
        raise InputError("--lake: its files name no symbols; `just export` writes such as do")
    return symbols


@contextmanager
def _as_input_error() -> Iterator[None]:
    """Raise InputError where a file of a lake is not what `just export` writes."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(f"--lake: its files cannot be read: {first_line}") from None
