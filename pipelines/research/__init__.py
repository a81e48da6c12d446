"""Everything that research needs, from one import.

from pipelines.research import *

minutes = scan("futures_1m").filter(pl.col("symbol") == "A01612")
resample(front_series(scan("futures_1m"), "A01"), 15).collect()
dolpha1_features(minutes).filter(pl.col("close") > pl.col("ub")).collect()
"""

from engine.features import bars as bar_features
from engine.history.front import front_series, rolls
from engine.history.matrices import by_metric, long_matrix, wide_matrix, with_summary
from engine.history.resample import resample
from pipelines.research.features import dolpha1_features, dolpha1_signals
from pipelines.research.sources import (
    scan,
    scan_chain,
    scan_matrix,
    scan_signals,
    scan_summary,
)

__all__ = [
    "bar_features",
    "by_metric",
    "dolpha1_features",
    "dolpha1_signals",
    "front_series",
    "long_matrix",
    "resample",
    "rolls",
    "scan",
    "scan_chain",
    "scan_matrix",
    "scan_signals",
    "scan_summary",
    "wide_matrix",
    "with_summary",
]
