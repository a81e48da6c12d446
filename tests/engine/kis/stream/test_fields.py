"""The order of the fields, against KIS's own tables."""

from __future__ import annotations

import json

import pytest

from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import FUTURE_STATES
from engine.schemas import OPTION_CHAIN, TRADES
from tests.paths import KIS_API, needs

each = pytest.mark.parametrize("tr_id", LAYOUTS)


@needs(KIS_API)
@each
def test_the_fields_are_those_of_kis_in_its_order(tr_id: str) -> None:
    table = json.loads((KIS_API / f"{tr_id}.json").read_text("utf-8"))
    assert list(LAYOUTS[tr_id].fields) == [field for field, *_ in table["response"]]


@each
def test_every_column_is_read_from_one_field_of_its_own(tr_id: str) -> None:
    layout = LAYOUTS[tr_id]
    sources = list(layout.columns.values())
    assert set(sources) <= set(layout.fields)
    assert len(set(sources)) == len(sources)
    assert all(layout.fields.count(source) == 1 for source in sources)


@each
def test_columns_have_names_of_the_schemas(tr_id: str) -> None:
    read_first = {"time", "date", "aggressor", "phase"}
    known = {*TRADES.names, *OPTION_CHAIN.names, *FUTURE_STATES.names, *read_first}
    assert set(LAYOUTS[tr_id].columns) <= known


def test_the_tail_of_a_night_option_has_another_order_than_the_days() -> None:
    assert LAYOUTS["H0IOCNT0"].fields[-3:] == ("DYNM_MXPR", "DYNM_LLAM", "DYNM_PRC_LIMT_YN")
    assert LAYOUTS["H0EUCNT0"].fields[-3:] == ("DYNM_MXPR", "DYNM_PRC_LIMT_YN", "DYNM_LLAM")
