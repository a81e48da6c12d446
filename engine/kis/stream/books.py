"""All levels of a book, from the records of a TR that `read_part` found good."""

from __future__ import annotations

from engine.kis.stream.fields import book_columns
from engine.kis.stream.gather import gather
from engine.kis.stream.records import Columns, FrameGroup


def book_rows(part: FrameGroup, good: Columns) -> Columns:
    """Return the columns of engine.schemas.BOOK for a part's good records.

    A value that KIS leaves out or writes unreadably is null; a level without an order has 0.
    """
    layout = part.layout
    prefix = layout.columns["symbol"].split("_")[0]
    prices, wholes = book_columns(prefix, layout.levels)
    whole_places, price_places = (
        [layout.fields.index(field) for field in named.values()] for named in (wholes, prices)
    )
    fields = gather(part.bodies, part.width, whole_places, price_places, [])
    records = good["record"]
    return {
        **good,
        "told_at": good["traded_at"],
        **{name: column[records] for name, column in zip(wholes, fields.wholes, strict=True)},
        **{name: column[records] for name, column in zip(prices, fields.numbers, strict=True)},
    }
