"""The wheel works without the repository, installed into an empty environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT as PROJECT

UV = shutil.which("uv") or ""
pytestmark = pytest.mark.skipif(not UV, reason="⚠️ uv is not here: the wheel is not tested")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside the repository, knowing nothing of ours."""
    theirs = {
        n: v for n, v in os.environ.items() if not n.startswith(("KRT_", "PYTHON", "VIRTUAL"))
    }
    return subprocess.run(
        command,
        cwd=tempfile.gettempdir(),
        env=theirs | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=500,
    )


def made(*command: str | Path) -> None:
    """Run a command of uv; skip the test where it cannot get its packages.

    Where the usual hosted CI runs, that is a failure: it has a network.
    """
    done = run(*command)
    if done.returncode and "CI" not in os.environ and "Failed to fetch" in done.stderr:
        pytest.skip(f"⚠️ the wheel is not tested, its packages cannot be had: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the embedded server's account may enter, also under root."""
    folder = Path(tempfile.mkdtemp(prefix="krt-wheel-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    made(UV, "build", "--wheel", "--quiet", "--out-dir", place / "dist", PROJECT)
    [found] = (place / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def krt(wheel: Path, place: Path) -> Path:
    """The command, installed with the versions that the project is tested with."""
    versions = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]
    constraints = place / "constraints.txt"
    constraints.write_text("\n".join(versions["constraint-dependencies"]), encoding="utf-8")
    home = place / "environment"
    made(UV, "venv", "--quiet", "--python", sys.executable, home)
    made(UV, "pip", "install", "--quiet", "--python", home, "--constraint", constraints, wheel)
    return home / ("Scripts/krt.exe" if sys.platform == "win32" else "bin/krt")


def test_everything_that_is_no_python_is_in_it(wheel: Path) -> None:
    """Every file of the packages that git knows, whatever its kind."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    packages = ("engine", "pipelines", "strategies", "sql")
    ours = {
        path.relative_to(PROJECT).as_posix()
        for package in packages
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and not {"__pycache__", "__marimo__"} & set(path.parts)
    }
    assert ours - inside == set()
    assert {
        "sql/roles.sql",
        "engine/market/calendar.toml",
        "engine/market/closed_days.csv",
        "engine/simulator/faults/scenarios/storm.toml",
        "pipelines/research/notebook.py",
        "pipelines/reports/dashboard/static/page.js",
        "pipelines/reports/dashboard/static/lightweight-charts.LICENSE",
        "pipelines/texts/catalogue.toml",
    } <= inside
    assert not [name for name in inside if name.startswith(("tests/", "docs/", ".ci/"))]


def test_the_installed_command_does_what_the_recipes_do(krt: Path, place: Path) -> None:
    here = {"KRT_DATA_FOLDER": str(place / "data")}
    version = run(krt, "--version")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert version.stdout.strip() == project["version"], version.stderr
    days = run(krt, "calendar", "2026", "--format", "json")
    assert len(json.loads(days.stdout)) > 200, days.stderr
    day = run(
        krt,
        "live",
        "--simulate",
        "--speed",
        "max",
        "--json",
        "--date",
        "2026-11-09",
        "--stock",
        "005930",
        "--start",
        "15:30",
        **here,
    )
    assert day.returncode == 0, day.stderr[-2000:]
    summary = json.loads(day.stdout.splitlines()[-1])
    assert (summary["gaps"], summary["complete"]) == (0, True)
    asked = "SELECT count(*) AS n FROM stocks_1m WHERE timestamp::date = '2026-11-09'"
    stored = run(krt, "sql", asked, "--format", "json", **here)
    assert json.loads(stored.stdout) == [{"n": summary["bars"]}], stored.stderr
    assert summary["bars"] > 300
