"""Each parser of the program has a randomised test: of this folder, or of another."""

from __future__ import annotations

import ast
import pydoc
import re
from collections.abc import Iterator

from tests.hostile.parsers import OF_ANSWERS, OF_BYTES
from tests.paths import ROOT

# Parsers with a randomised test elsewhere, or which another one of this file goes through.
BARS, FRAMES = "engine/fetchers/test_bar_rules.py", "engine/kis/stream/test_any_frame.py"
CODEC = "engine/kis/test_codec.py"
TOLD, TRANSPORT = "engine/kis/stream/test_told_once.py", "engine/kis/test_transport.py"
ANY_VALUES = "test_any_values_in_whole_records_are_accounted_for"
AUCTIONS = "engine.fetchers.auctions.AuctionFetcher"
FEED_SERVER = "engine.simulator.stream"
BY_OTHERS = {
    f"{AUCTIONS}._future": f"{AUCTIONS}.read",
    f"{AUCTIONS}._stock": "engine.fetchers.auctions, of a stock",
    "engine.fetchers.bars.BarFetcher._split": f"{BARS}::test_any_answer_becomes_a_batch",
    "engine.history.bar_file_forms._decode": "engine.history.bar_file_forms._read_csv",
    "engine.history.bar_file_forms._pandas_index": "engine.history.bar_file_forms._read_parquet",
    "engine.history.trades._from_file": "engine.store.trade_files._collect",
    "engine.kis.holidays._read_day": "engine.kis.holidays._read_file",
    "engine.kis.master.unpack": "engine.kis.master.parse_master",
    "engine.kis.stock_master._korean": "engine.kis.stock_master.parse_stock_master",
    "engine.kis.stream.gather._read": f"{FRAMES}::test_numbers_are_read_as_everywhere_else",
    "engine.kis.stream.gather.gather": f"{FRAMES}::{ANY_VALUES}",
    "engine.kis.stream.told_once._columns": f"{TOLD}::test_no_text_raises_an_error",
    "pipelines.history.adjustments._closes": f"{CODEC}::test_any_json_becomes_columns",
    "engine.kis.transport.read_date": f"{TRANSPORT}::test_no_text_of_a_date_raises",
    "engine.kis.stream.connection.StreamConnection._read": f"{FRAMES}::test_no_text_raises",
    "engine.settings._JsonFile._read_files": "engine.settings.load_settings",
    "engine.settings._split_list": "engine.settings.load_settings",
    "pipelines.evaluation.lake._symbols": "pipelines.evaluation.lake.Lake.read",
    "engine.simulator.faults.scenario._read": "engine.simulator.faults.scenario.load_scenario",
    f"{FEED_SERVER}.connection.ClientConnection._read": f"{FEED_SERVER}.requests.read_registration",
    "engine.store.book_files._names_in": "engine.store.book_files._read",
    "engine.store.book_files._rows_in": "engine.store.book_files._read",
    "engine.store.book_files.scan_files": "engine.store.book_files._read",
}
# What we or our programs have written, at this moment or into the package: no one else's.
OURS = {
    "engine.store.connection._server_message",  # whatever bytes the server says are replaced
    "engine.history.checks.all_checks",  # of the package, as are the next ones
    "engine.market.trading_days.closed_weekdays",
    "engine.market.trading_days.rules",
    "engine.store.metadata.roles_sql",
    "engine.store.metadata.system_status",
    "engine.store.migrations.migrate_to",
    "pipelines.history.adjustments.settle_adjustments",
    "pipelines.reports.dashboard.assets.assets",
    "pipelines.reports.dashboard.assets.template",
    "pipelines.reports.dashboard.assets._letters",
    "pipelines.reports.notebook_style.style",
    "pipelines.reports.sql_text.sql_text",
    "pipelines.texts.__init__.catalogue",
    "engine.history.gaps._stamp_lists",  # arrays of our own
    "engine.history.predicates.push_down",  # of Polars
    "engine.kis.codec._as_json",  # these only write
    "engine.kis.stream.messages.registration_text",
    "engine.simulator.stream.requests.answer",
    "engine.simulator.stream.requests.pingpong",
    "engine.simulator.market.listed_stocks.stock_master_file",
    "engine.simulator.reference_answers.master_file",
    "pipelines.reports.charts.style.font_face",
    "pipelines.reports.readable._json",
    "pipelines.service.job.ServiceFile.text",
    "engine.simulator.bar_answers._filled_forward",  # answers that the simulator has just made
    "engine.simulator.faults.corrupt._change_rows",
    "engine.simulator.faults.corrupt._replace_date",
    "engine.simulator.reference_answers.page_mark",
    "engine.store.backup.restoring.restore_files",  # copied after its hash was compared
    "engine.store.dump.dump_schema",  # of Postgres's programs
    "engine.store.embedded.cluster.Cluster.url",
    "engine.store.embedded.cluster._read",
    "engine.store.embedded.programs.Programs._run",
    "engine.store.embedded.running._ourselves",  # of the system
    "engine.history.parquet.scan_parquet",  # lazy: what they find, Polars says to the researcher
    "engine.history.archived._files",
    "engine.store.archive._row",  # the archive, read back and compared before the database lets go
    "engine.store.archive._symbol_parts",
    "engine.store.archive._write",
    "engine.store.archive.recall",
    "pipelines.reports.backtest.page._data",
    "pipelines.reports.backtest.page._read",
    "pipelines.reports.backtest.page.page",
    "engine.history.queries._read_parquet",  # exports, whose fingerprints were compared
    "pipelines.research.sources.scan",
    "pipelines.commands.research.research",
    "pipelines.commands.service._print_log",  # shown as it is
    "pipelines.evaluation.runners._read",  # the bars that the parent process has just written
    "pipelines.reports.dashboard.server.PageServer._page",  # its own address
    "pipelines.reports.evaluation_tables.print_backtest",  # frames of ours as JSON
    "pipelines.reports.page_guard._headers",  # decoded as Latin-1, which takes every byte
    "pipelines.reports.status.status_json",
    "pipelines.reports.terminal.print_json",
    "pipelines.service.manager.is_current",  # only compared
}
READS = {
    "read_file",
    "read_bytes",
    "read_text",
    "loads",
    "read_parquet",
    "scan_parquet",
    "read_csv",
    "model_validate_json",
    "codec.columns",
    "unpack",
    "ZipFile",
    "validate_json",
    "read_metadata",
    "read_schema",
    "decode",
    "frombuffer",
    "read_parquet_metadata",
    "parsedate_to_datetime",
    "read_ipc",
    "scan_csv",
    "fromstring",
}


def readers() -> Iterator[str]:
    """The functions that read a content: what they call says so."""
    tops = ("engine", "pipelines", "strategies")
    for path in (p for top in tops for p in (ROOT / top).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield from _readers_in(ast.parse(path.read_text("utf-8")), module)


def _readers_in(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _readers_in(node, f"{prefix}.{node.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            called = (found.func for found in ast.walk(node) if isinstance(found, ast.Call))
            names = {_name(func) for func in called}
            if names & READS:
                yield f"{prefix}.{node.name}"


def _name(called: ast.expr) -> str:
    """The name of what is called; `codec.columns` with its module, as other things have columns."""
    if isinstance(called, ast.Attribute):
        return "codec.columns" if ast.unparse(called) == "codec.columns" else called.attr
    return called.id if isinstance(called, ast.Name) else ""


def test_every_parser_has_a_randomised_test() -> None:
    here = {*OF_ANSWERS, *OF_BYTES}
    found = set(readers())
    assert found - here - BY_OTHERS.keys() - OURS == set(), "give it a test, and name it here"
    assert (BY_OTHERS.keys() | OURS) - found == set(), "these are not parsers any more"
    for covered in set(BY_OTHERS.values()) - here:
        file, _, name = covered.partition("::")
        source = (ROOT / "tests" / file).read_text("utf-8")
        assert re.search(rf"@given\((?s:.){{0,800}}?def {name}\(", source), covered


def test_every_parser_of_the_list_is_there() -> None:
    for name in [*OF_ANSWERS, *OF_BYTES]:
        assert pydoc.locate(name.partition(",")[0]) is not None, name
