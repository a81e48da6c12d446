"""Where the project is, the market data that lie beside it, and where the tests' servers live.

The data of `shared/` are never part of the project: they may not be distributed. Tests that use
them are skipped where they are absent; KRT_SHARED_FOLDER says where else they are.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("KRT_SHARED_FOLDER") or ROOT.parent / "shared").resolve()
REAL_DATA = SHARED / "data"
KIS_SAMPLES = SHARED / "kis-samples"
KIS_API = SHARED / "kis-api"
FUTURES_FILE = REAL_DATA / "k200_futures_1min.parquet"
STOCKS_FILE = REAL_DATA / "krx_stocks_1min.parquet"
DIRTY_STOCKS_FILE = REAL_DATA / "krx_stocks_1min_dirty.parquet"
BOARD_FILE = REAL_DATA / "k200_options_kis_20260917.parquet"
CALLS_FILE = REAL_DATA / "kis_calls_20261007.csv"
CASES = SHARED / "cases"

_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's file system in memory
_ROOM = 6 * 2**30  # bytes; the servers of a run take less than one


def _servers_folder() -> Path:
    """Return where the tests' servers keep their files: in memory, where there is ample room.

    Each test has a database of its own, four hundred files that are made and removed again, which
    takes some ten times as long on a disk.
    """
    on_disk = Path(tempfile.gettempdir())
    if not _MEMORY.is_dir():
        return on_disk
    room = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available)
    return _MEMORY if room > _ROOM else on_disk


# One for all workers, which inherit what the first process has found.
SERVERS_FOLDER = Path(os.environ.setdefault("KRT_TEST_SERVERS", str(_servers_folder())))

WITHOUT_PANDAS = ROOT / "tests" / "without_pandas"  # a PYTHONPATH of commands

ABSENT = "not part of the project"


def needs(*paths: Path) -> pytest.MarkDecorator:
    """Skip a test where one of the files or folders is absent."""
    missing = next((path for path in paths if not path.exists()), None)
    name = missing.name if missing else ""
    return pytest.mark.skipif(missing is not None, reason=f"needs {name}, which is {ABSENT}")


def require(path: Path) -> Path:
    """Return the path, or skip the test that asks for it."""
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is {ABSENT}")
    return path
