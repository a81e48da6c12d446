"""Everything that research needs, from one import; docs/research.md explains each name.

from pipelines.research import *

minutes = scan_bars("A01612")
resample(scan_bars("A01"), 15).collect()
dolpha1_features(minutes).filter(pl.col("close") > pl.col("ub")).collect()
"""

import polars as pl

from engine.features import bars as bar_features
from engine.features.modelled import with_smile_values
from engine.history.breadth import breadth, turnover_leaders
from engine.history.front import front_series, rolls
from engine.history.matrices import by_metric, long_matrix, wide_matrix, with_summary
from engine.history.missing_trades import missing_trades
from engine.history.option_flow import open_interest_changes, option_flow, put_call_ratios
from engine.history.realised import realised_volatility, with_implied
from engine.history.resample import resample
from engine.history.told_once import (
    with_auctions,
    with_book,
    with_flows,
    with_index,
    with_programme,
    with_state,
)
from pipelines.research.options import term_structure, with_model_values
from pipelines.research.signals import dolpha1_signals, strategy_signals
from pipelines.research.sources import (
    scan,
    scan_bars,
    scan_book,
    scan_chain,
    scan_matrix,
    scan_signals,
    scan_summary,
    scan_surface,
    use_database,
)
from strategies.dolpha1.features import features as dolpha1_features

__all__ = [
    "bar_features",
    "breadth",
    "by_metric",
    "dolpha1_features",
    "dolpha1_signals",
    "front_series",
    "long_matrix",
    "missing_trades",
    "open_interest_changes",
    "option_flow",
    "pl",
    "put_call_ratios",
    "realised_volatility",
    "resample",
    "rolls",
    "scan",
    "scan_bars",
    "scan_book",
    "scan_chain",
    "scan_matrix",
    "scan_signals",
    "scan_summary",
    "scan_surface",
    "strategy_signals",
    "term_structure",
    "turnover_leaders",
    "use_database",
    "wide_matrix",
    "with_auctions",
    "with_book",
    "with_flows",
    "with_implied",
    "with_index",
    "with_model_values",
    "with_programme",
    "with_smile_values",
    "with_state",
    "with_summary",
]
