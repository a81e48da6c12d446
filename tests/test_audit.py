"""The audit: advisories and wrong hashes end it with 1; where no server answers, it says so."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.ci_tools import ci_tool
from tests.paths import ROOT

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
    assert module.check_advisories() == code
    assert says in capsys.readouterr().out


def blocks(requirements: str) -> dict[str, set[str]]:
    """Return the hashes of each `name==version ; marker`."""
    parts = re.split(r"(?m)^(?=[\w-]+==)", requirements)[1:]
    return {
        part.splitlines()[0].removesuffix("\\").strip(): set(
            re.findall(r"--hash=(sha256:[0-9a-f]{64})", part)
        )
        for part in parts
    }


def test_every_package_that_is_constrained_has_its_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    text = (ROOT / "requirements.txt").read_text("utf-8")
    hashes = blocks(text)
    assert list(hashes) == project["tool"]["uv"]["constraint-dependencies"], "run `just lock`"
    assert all(hashes.values())
    assert len(hashes["polars-runtime-32==" + version_of(hashes, "polars-runtime-32")]) > 5, (
        "wheels of every platform"
    )
    assert "://" not in text, "no address of a registry"


def version_of(hashes: dict[str, set[str]], name: str) -> str:
    return next(line.partition("==")[2] for line in hashes if line.startswith(f"{name}=="))


def test_the_lock_reads_names_and_versions_from_the_hashes() -> None:
    lock = ci_tool("lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    text = (ROOT / "requirements.txt").read_text("utf-8")
    assert text.startswith(lock.HEADER)
    assert lock.versions_in(text) == project["tool"]["uv"]["constraint-dependencies"]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in a folder that is all that uv may look at."""
    file = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tiny.py", "")
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"),
            (
                "WHEEL",
                "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            ),
            ("RECORD", ""),
        ):
            archive.writestr(f"tiny-1.0.dist-info/{name}", text)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return file


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not here")
@pytest.mark.parametrize(
    ("package", "digest", "code", "says"),
    [
        ("tiny", None, 0, "✅ every package has the hash that requirements.txt says"),
        ("tiny", "0" * 64, 1, "❌ Hash mismatch for `tiny==1.0`: not the file"),
        ("absent", "0" * 64, 0, "⚠️ SKIPPED, no hash was checked"),
    ],
)
def test_a_file_that_is_not_the_one_that_was_locked_is_refused(
    module: ModuleType,
    wheel: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    package: str,
    digest: str | None,
    code: int,
    says: str,
) -> None:
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    file = wheel.with_name("requirements.txt")
    file.write_text(f"{package}==1.0 \\\n    --hash=sha256:{digest}\n")
    monkeypatch.setattr(module, "HASHES", file)
    assert module.check_hashes() == code
    assert says in capsys.readouterr().out
