"""Volatility and greeks of the smile at each strike, beside vollib's, and where they are marked."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from vollib.black.greeks import analytical

from engine.features.black76 import GREEKS, RATE
from engine.features.exposure import option_surface
from engine.features.modelled import SMILE_VALUES, with_smile_values
from tests.engine.features.test_forward import blank
from tests.engine.features.test_surface import greeks, with_smile

Board = Callable[..., pl.DataFrame]


def test_every_strike_has_the_smiles_values_and_those_without_a_quote_are_marked(
    make_board: Board,
) -> None:
    gone = (pl.col("strike") / 2.5).cast(pl.Int64) % 3 == 0
    chain = greeks(blank(make_board(), gone))
    found = with_smile_values(chain.lazy(), option_surface(chain).lazy()).collect()
    assert found.height == chain.height
    assert found.select(SMILE_VALUES).null_count().row(0) == (0,) * len(SMILE_VALUES)
    assert 0.2 < found["modelled"].mean() < 0.5  # type: ignore[operator]
    assert found.filter("modelled")["model_iv"].null_count() == found["modelled"].sum()
    expected = with_smile(chain)
    for ours, row in zip(found.to_dicts(), expected.to_dicts(), strict=True):
        assert ours["fitted_iv"] == pytest.approx(row["smile"], rel=1e-12)
        for name in GREEKS:
            theirs = getattr(analytical, name)(
                row["option_type"].lower(),
                row["forward"],
                row["strike"],
                row["years"],
                RATE,
                row["smile"] / 100,
            )
            assert ours[f"fitted_{name}"] == pytest.approx(theirs, rel=1e-8, abs=1e-9), name


def test_a_minute_without_a_smile_has_no_values_and_stored_rows_need_no_model(
    make_board: Board,
) -> None:
    chain = greeks(make_board())
    surface = option_surface(chain).with_columns(pl.lit(None, pl.Float64).alias("smile_theta"))
    stored = chain.select("timestamp", "underlying_symbol", "option_type", "strike")
    found = with_smile_values(stored.lazy(), surface.lazy()).collect()
    assert found.select(SMILE_VALUES).null_count().row(0) == (found.height,) * len(SMILE_VALUES)
    assert found["modelled"].null_count() == found.height
