"""Made-up chains on their way through engine.features, as pipelines.chains takes stored ones."""

from __future__ import annotations

import polars as pl

from engine.features.chain import prepare_chain
from engine.features.exposure import option_surface
from engine.features.forward import with_forward
from engine.features.greeks import with_model_greeks
from engine.features.summary import option_summary, with_smile_figures


def ready(chain: pl.DataFrame) -> pl.LazyFrame:
    """Return the chain prepared and with its forward."""
    return with_forward(prepare_chain(chain.lazy()))


def on_its_underlying(chain: pl.DataFrame) -> pl.LazyFrame:
    """Return the chain prepared, with the price of its underlying as the forward."""
    return prepare_chain(chain.lazy()).with_columns(forward="underlying_price")


def with_greeks(chain: pl.DataFrame) -> pl.LazyFrame:
    """Return the chain with the model's greeks too, as matrix and summary take it."""
    return with_model_greeks(ready(chain))


def summary(chain: pl.DataFrame) -> pl.LazyFrame:
    """Return the summary of a chain that was not prepared yet."""
    greeks = with_greeks(chain).collect().with_columns(underlying=pl.lit("KOSPI200"))
    figures = option_summary(greeks.lazy()).collect()
    return with_smile_figures(figures, option_surface(greeks)).lazy()
