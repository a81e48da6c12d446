"""Every benchmark runs, at sizes so small that its numbers say nothing, so that none can rot."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from engine.errors import InputError
from tests.benchmarks import __main__ as bench
from tests.benchmarks.__main__ import PARTS, main, measure_part
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.bench_peers import peers_python
from tests.benchmarks.rows import Row
from tests.benchmarks.table import WHAT, WIDTH, table
from tests.databases import long

# A market's year, though a small one; 73 packages, of which numba compiles.
SLOW = ("growth", "peers")


@pytest.fixture(scope="module")
def env(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchEnv]:
    with ExitStack() as stack:
        yield BenchEnv(server_url, tmp_path_factory.mktemp("stage"), stack)


@pytest.mark.parametrize("part", [long(part) if part in SLOW else part for part in PARTS])
def test_a_part_runs(env: BenchEnv, part: str) -> None:
    if part == "peers":
        try:
            peers_python()
        except InputError as error:
            pytest.skip(f"the peers cannot be installed: {error}")
    rows = measure_part(env, part, "TINY")
    assert len({row.what for row in rows}) == len(rows) > 1
    for row in rows:
        amounts = [row.median, row.p99 or 0.0, row.baseline or 0.0]
        assert all(math.isfinite(amount) and amount >= 0 for amount in amounts), row
    assert max(len(row.what) for row in rows) <= WHAT


def test_the_table_says_whether_targets_hold() -> None:
    drawn = _drawn(
        [
            Row("fast", 0.002, 0.1, least=40, part="a"),
            Row("slow", 0.020, 0.1, most=0.015, part="a"),
            Row("large", 1234, unit="MB", part="b"),
        ]
    )
    lines = {line.split()[1]: line.split() for line in drawn.splitlines() if line[:1] in {"a", "b"}}
    assert lines["fast"][2:] == ["2", "ms", "100", "ms", "50", "×", "≥", "40", "×", "✅"]
    assert lines["slow"][2:] == ["20", "ms", "100", "ms", "5", "×", "<", "15", "ms", "❌"]
    assert lines["large"][2:] == ["1,234", "MB"]
    assert "1 of 2 targets hold" in drawn


def test_a_part_that_fails_does_not_lose_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def measure(_: BenchEnv, part: str, size: str) -> list[Row]:
        if part == "merge":
            raise ValueError("the disk is full")
        if part == "poll":
            raise KeyboardInterrupt
        return [Row(f"{size} {part}", 0.1, part=part)]

    monkeypatch.setattr(bench, "measure_part", measure)
    parts = ["options", "merge", "surface", "poll", "delay"]
    with ExitStack() as stack:
        env = BenchEnv("postgresql:///nowhere", tmp_path, stack)
        rows, failed = bench.measure_parts(env, parts, "QUICK")
    assert [row.what for row in rows] == ["QUICK options", "QUICK surface"]
    assert failed == ["merge", "poll", "delay"]
    said = capsys.readouterr()
    assert "the disk is full" in said.err
    assert all(row.what in said.out for row in rows), "each is shown as soon as it is there"


def test_every_part_has_a_quick_size() -> None:
    modules = [importlib.import_module(f"tests.benchmarks.bench_{part}") for part in PARTS]
    for module in modules:
        assert module.QUICK.keys() <= inspect.signature(module.measure).parameters.keys()


@pytest.mark.parametrize("word", ["nothing", "--fast"])
def test_an_unknown_benchmark_is_one_clear_line(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", word]) == 2
    told = capsys.readouterr().err
    assert word in told
    assert told.count("\n") == 1


def test_every_row_fits_on_one_line() -> None:
    widest = Row("x" * WHAT, 1.23e-4, 1.23e-4, least=0.333, p99=1.23e-4, part="strategy")
    long_lines = [line for line in _drawn([widest, widest]).splitlines() if "x" in line]
    assert [line.count("x") for line in long_lines] == [WHAT, WHAT]
    assert all(line.rstrip().endswith("✅") for line in long_lines)


def _drawn(rows: list[Row]) -> str:
    console = Console(width=WIDTH)
    with console.capture() as capture:
        console.print(table(rows, "a machine"))
    return capture.get()
