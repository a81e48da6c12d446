"""Made-up chains on their way through engine.features, as pipelines.chains takes stored ones."""

from __future__ import annotations

import polars as pl

from engine.features.chain import SNAPSHOT, prepare_chain, snapshot_findings
from engine.features.exposure import option_surface
from engine.features.flags import ROW_FLAGS, SNAPSHOT_FLAGS, flag_measures, with_row_flags
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


def figures(chain: pl.DataFrame) -> dict[str, object]:
    """Return the summary of one snapshot's chain, by name."""
    return summary(chain).collect().row(0, named=True)


def changed(chain: pl.DataFrame, where: pl.Expr, **values: object) -> pl.DataFrame:
    """Return the chain with other values in the rows that `where` names."""
    return chain.with_columns(
        pl.when(where).then(pl.lit(value)).otherwise(name).cast(chain.schema[name]).alias(name)
        for name, value in values.items()
    )


def with_more_calls(chain: pl.DataFrame) -> pl.DataFrame:
    """Let twice as many calls be open as puts: with as many, exposures add up to nearly nothing."""
    twice = pl.when(pl.col("option_type") == "C").then(2).otherwise(1)
    return chain.with_columns(open_interest=pl.col("open_interest") * twice)


def chain_flags(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return the findings about a chain with its forward, one a row, sorted.

    Columns: timestamp, underlying_symbol, flag, rows, example; sorted by the first three. The flags
    are explained in engine.features.chain. `rows` says how many rows are concerned and `example`
    is the lowest code among them; both are NULL for a finding about the whole snapshot. Empty for a
    chain without a fault.
    """
    rows = with_row_flags(chain)
    found = {"variable_name": "flag", "value_name": "found"}
    about_rows = (
        rows.unpivot(ROW_FLAGS, index=[*SNAPSHOT, "symbol"], **found)
        .filter("found")
        .group_by(*SNAPSHOT, "flag")
        .agg(rows=pl.len(), example=pl.col("symbol").min())
    )
    about_all = (
        rows.group_by(SNAPSHOT)
        .agg(**flag_measures())
        .with_columns(**snapshot_findings())
        .unpivot(SNAPSHOT_FLAGS, index=SNAPSHOT, **found)
        .filter("found")
        .select(*SNAPSHOT, "flag", rows=pl.lit(None, pl.UInt32), example=pl.lit(None, pl.String))
    )
    return pl.concat([about_rows, about_all]).sort(*SNAPSHOT, "flag")
