"""The audit: advisories end it with 1, and where no server answers it says that it was skipped."""

from __future__ import annotations

import json
import subprocess
from types import ModuleType

import pytest

from tests.ci_tools import ci_tool

CLEAN = {"name": "good", "version": "1.0", "vulns": []}
BAD = {
    "name": "bad",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1"], "description": ""}],
}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def module() -> ModuleType:
    return ci_tool("audit")


@pytest.mark.parametrize(
    ("packages", "code", "says"),
    [
        ([CLEAN], 0, "✅ 1 packages, 0 advisories"),
        ([CLEAN, UNKNOWN], 0, "⚠️ not known there: ours"),
        ([CLEAN, BAD], 1, "❌ bad 2.0: PYSEC-1, CVE-1; mended in 2.1"),
        ([UNKNOWN], 0, "⚠️ SKIPPED"),
        (None, 0, "⚠️ SKIPPED, nothing was audited: connection refused"),
    ],
)
def test_what_it_says(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    packages: list[dict[str, object]] | None,
    code: int,
    says: str,
) -> None:
    out = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    answer = subprocess.CompletedProcess([], code, out, "a warning\nconnection refused\n")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: answer)
    assert module.main() == code
    assert says in capsys.readouterr().out
