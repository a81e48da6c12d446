"""What the packages are: their licences, and the bill of materials."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ci_tools import ci_tool


@pytest.fixture(autouse=True)
def no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe"])


def test_every_package_says_its_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert ci_tool("licences").main() == 0
    told = capsys.readouterr().out
    lines = [line.split(maxsplit=3) for line in told.splitlines()]
    found = {line[1]: line for line in lines if line[0] in ("ours", "dev")}
    assert found["polars"][0] == found["orjson"][0] == "ours"
    assert found["numpy"][0] == "ours", "which pandas of development needs as well"
    assert found["pytest"][0] == found["vollib"][0] == "dev"
    assert found["ruff"][3].strip() == "MIT"
    assert "whoever passes them on: certifi (Mozilla Public License" in told


def test_a_package_without_a_licence_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    licences = ci_tool("licences")
    rows = [("ours", "good", "1.0", "MIT"), ("dev", "bad", "2.0", "")]
    monkeypatch.setattr(licences, "table", lambda: iter(rows))
    assert licences.main() == 1
    good, bad, last = capsys.readouterr().out.splitlines()
    assert "❌" not in good
    assert bad.split()[:3] == ["dev", "bad", "2.0"]
    assert "❌ says none" in bad
    assert last == "❌ 1 packages of an installation, 2 in all"


def test_a_bill_is_made_by_the_tool_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sbom = ci_tool("sbom")
    file = tmp_path / "bill.json"
    licence = [{"license": {"id": "MIT"}}]
    parts = [{"name": "good", "licenses": licence}, {"name": "silent"}]

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[-1] == sys.executable
        assert command[command.index("--output-file") + 1] == str(file)
        file.write_text(json.dumps({"specVersion": "1.6", "components": parts}))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sbom.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["sbom.py", str(file)])
    assert sbom.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        f"✅ 2 packages in {file}, CycloneDX 1.6",
        "⚠️ without a licence there: silent; see just licences",
    ]


@pytest.mark.parametrize("arguments", [[], ["--file"], ["a", "b"]])
def test_a_bill_needs_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sbom.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        ci_tool("sbom").main()
    assert capsys.readouterr().err.startswith("usage: just sbom [-h] FILE\n")


def test_why_there_is_no_bill_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sbom = ci_tool("sbom")
    failed = subprocess.CompletedProcess([], 2, "", "a warning\nno network\n")
    monkeypatch.setattr(sbom.subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(sys, "argv", ["sbom.py", str(tmp_path / "bill.json")])
    assert sbom.main() == 1
    assert capsys.readouterr().err == "❌ no bill of materials: cyclonedx-bom==7.5.0: no network\n"
