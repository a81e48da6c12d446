"""Where the project is, and the market data that lie beside it and are never part of it.

The data of `shared/` may not be distributed. Tests that use them are skipped where they are absent;
KRT_SHARED_FOLDER says where else they are.
"""

from __future__ import annotations

import os
from pathlib import Path

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
