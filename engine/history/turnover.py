"""What the cumulative turnover of an answer's rows says about the minutes that the answer lacks.

Each row carries the session's turnover so far (docs/kis.md#turnover). Over a hole it grows by the
turnover of the bar after the hole, if nothing was traded in between, and by more if something was.
The column is not believed for its name. It has to prove itself on the page: no bar contradicts it,
and it grows by exactly the bar's own turnover where two bars stand side by side.

A bar that was traded at several prices may have any turnover from its volume at its low to its
volume at its high. So a hole is proven only where not one share or contract more fits in.
"""

from __future__ import annotations

import polars as pl

from engine.columns import TIME
from engine.fetchers.pages import Page
from engine.market.sessions import Session

ROUNDING = 1.0  # of a difference of two values, in KIS's unit
# What trades between two bars costs at least so much of the lower one's price. KRX's limits of a
# day are nearer together (stocks -30 to +30 %, derivatives -20 to +20 %).
SMALLEST = 0.5

HOLES = pl.Schema([("after", TIME), ("traded", pl.Boolean())])


def judge_holes(page: Page, session: Session) -> pl.DataFrame:
    """Return HOLES, ascending: whether something traded between the bar `after` and the one before.

    Null where the page's turnover proves neither.
    """
    if len(page.stamps) < 3 or len(page.turnovers) < len(page.stamps):
        return HOLES.to_frame()
    bars = _bars(page, session)
    is_next = pl.col("minutes") == 1
    broken = (is_next & ~_agrees()) | ~_has_its_own()
    proving = is_next & _agrees() & _leaves_no_room() & (pl.col("least") > 0)
    if bars.select(broken.any() | ~proving.any()).item():
        return HOLES.to_frame()
    idle = _agrees() & (pl.col("added") - pl.col("least") + ROUNDING < pl.col("share"))
    # A column that began anew in the hole would show the bar's own turnover.
    idle = idle & (pl.col("so_far") > pl.col("most") + ROUNDING)
    traded = pl.col("added") - pl.col("most") >= pl.col("share") - ROUNDING
    return bars.select(
        pl.col("stamp").alias("after"), pl.when(idle | traded).then(traded).alias("traded")
    )


def _bars(page: Page, session: Session) -> pl.DataFrame:
    """Return the page's bars with what the turnover grew by from the one before, ascending.

    `minutes`: how many expected bars later; `share`: the least that one more share would cost.
    """
    rows = [(stamp, *page.turnovers[stamp]) for stamp in page.stamps]
    names = ["stamp", "so_far", "least", "most", "one"]
    schema = {name: pl.Float64() for name in names} | {"stamp": TIME}
    bars = pl.DataFrame(rows, schema, orient="row")
    number = session.stamps().search_sorted(bars["stamp"]).cast(pl.Int64)
    return bars.with_columns(
        minutes=number.diff(),
        added=pl.col("so_far").diff(),
        share=SMALLEST * pl.min_horizontal("one", pl.col("one").shift(1)),
    )


def _agrees() -> pl.Expr:
    """Say whether the turnover grew by as much as the bar alone may have."""
    return pl.col("added").is_between(pl.col("least") - ROUNDING, pl.col("most") + ROUNDING)


def _has_its_own() -> pl.Expr:
    """Say whether the turnover holds at least the bar's own, on top of the one before."""
    added = pl.coalesce("added", "so_far")
    return (added >= pl.col("least") - ROUNDING).fill_null(value=False)


def _leaves_no_room() -> pl.Expr:
    """Say of which bars the turnover is known to less than another share."""
    return pl.col("most") - pl.col("least") + 2 * ROUNDING < pl.col("share")
