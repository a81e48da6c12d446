"""Standard output as Korean Windows has it, redirected: cp949, which lacks our signs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from pipelines.commands.main import accept_any_text
from pipelines.commands.overview import COMMANDS

SCRIPT = """
import json, sys
import pipelines.databases
from pipelines.commands.main import main
pipelines.databases.migrate = lambda *_, **__: None  # it is: that saves seconds
codes = [main(arguments) for arguments in json.loads(sys.argv[1])]
sys.stderr.write("\\n" + json.dumps(codes))
"""


def run(
    encoding: str, url: str, folder: Path, *commands: list[str]
) -> tuple[list[int], bytes, bytes]:
    """Run the commands in one process with this standard output; return codes and outputs."""
    environment = os.environ | {
        "PYTHONIOENCODING": encoding,
        "PYTHONUTF8": "0",
        "KRT_DATABASE_URL": url,
        "KRT_DATA_FOLDER": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    *_, codes = done.stderr.splitlines()
    return json.loads(codes), done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["cp949", "ascii"])
def test_no_command_ends_in_a_traceback(encoding: str, server_url: str, tmp_path: Path) -> None:
    """`validate` ended in a traceback with exit 1, the code for findings."""
    quick = [
        ["--help"],
        *([name, "--help"] for held in COMMANDS.values() for name in held if encoding == "cp949"),
        ["calendar"],
        ["status"],
        ["spool"],
        ["sql", "SELECT '한글' AS 이름, '✅ 🎉 é' AS signs"],
        ["sql", "SELECT '한글 ✅' AS a", "--format", "csv"],
        ["backfill", "--days", "1", "--dry-run"],
        ["validate"],  # nothing is stored: one line
        ["nonsense-한글-✅"],
    ]
    codes, out, said = run(encoding, server_url, tmp_path, *quick)
    expected = [0] * (len(quick) - 2) + [2, 2]
    expected[quick.index(["status"])] = 2  # nothing is stored: whether all is well is unknown
    assert codes == expected, said
    assert ("한글".encode("cp949") in out) == (encoding == "cp949")


@pytest.mark.parametrize("encoding", ["cp949", "ascii", "utf-8"])
def test_json_is_whole_whatever_the_encoding(
    encoding: str, server_url: str, tmp_path: Path
) -> None:
    query = ["sql", "SELECT '한글 ✅ 🎉' AS a", "--format", "json"]
    codes, out, _ = run(encoding, server_url, tmp_path, query)
    assert codes == [0]
    assert json.loads(out.decode(encoding)) == [{"a": "한글 ✅ 🎉"}]


def test_what_cannot_be_shown_is_replaced_and_korean_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp949")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    accept_any_text()
    stream.write("🎉 완료 \udcff")
    table = Table(title="🎉 2026-11-02 is complete")
    table.add_row("└ 봉 ✅", "é")
    Console(file=stream).print(table)
    stream.flush()
    shown = stream.buffer.getvalue().decode("cp949")
    assert shown.startswith("? 완료 ?")
    assert "? 2026-11-02" in shown
