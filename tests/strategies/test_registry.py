"""A strategy is checked whole when it is registered, not in the middle of a collecting day."""

from __future__ import annotations

import pyarrow as pa
import pytest

from engine.errors import InputError
from engine.schemas import TIME
from engine.store.tables import SIGNAL_TABLE_COLUMNS
from strategies.base import SIGNAL_COLUMNS, signal_schema
from strategies.opening_range import OpeningRange
from strategies.registry import DEFAULT_STRATEGY, STRATEGIES, register, strategy_named


class Momentum(OpeningRange):
    """Another strategy."""

    name = "momentum"
    table = "momentum_signal"


def schema_without(*names: str) -> pa.Schema:
    return pa.schema([field for field in SIGNAL_COLUMNS if field.name not in names])


def schema_with(name: str, kind: pa.DataType) -> pa.Schema:
    place = SIGNAL_COLUMNS.get_field_index(name)
    return SIGNAL_COLUMNS.set(place, pa.field(name, kind))


def test_the_registry_knows_strategies_by_name() -> None:
    assert set(STRATEGIES) == {"dolpha1", "opening_range"}
    assert strategy_named("opening_range").table == "opening_range_signal"
    assert DEFAULT_STRATEGY == "dolpha1"
    with pytest.raises(InputError, match="there are: dolpha1, opening_range"):
        strategy_named("momentum")


def test_a_strategy_with_features_of_its_own_is_registered() -> None:
    class Dated(Momentum):
        schema = signal_schema(("expiry", pa.date32()), ("is_late", pa.bool_()))

    assert list(register(Dated(), OpeningRange())) == ["momentum", "opening_range"]
    assert Dated.schema.names[-3:] == ["expiry", "is_late", "created_at"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"schema": schema_without("ub", "lb")}, "its schema lacks ub, lb"),
        ({"schema": schema_without("reason")}, "its schema lacks reason"),
        ({"schema": schema_without("created_at")}, "its schema lacks created_at"),
        ({"schema": schema_with("ub", pa.string())}, "ub must be Float64, not String"),
        ({"schema": schema_with("timestamp", pa.int64())}, "timestamp must be Datetime"),
        ({"schema": SIGNAL_COLUMNS.append(pa.field("n", pa.int64()))}, "must be its last column"),
        ({"schema": signal_schema(("count", pa.int32()))}, r"can hold count \(Int32\)"),
        ({"name": "Momentum"}, "its name must be small letters"),
        ({"table": "momentum"}, "its table must be momentum_signal, not momentum"),
    ],
)
def test_a_strategy_that_does_not_fit_is_refused_with_the_reason(
    wrong: dict[str, object], told: str
) -> None:
    strategy = type("Wrong", (Momentum,), wrong)()
    with pytest.raises(InputError, match=told):
        register(strategy)


def test_every_reason_is_told_at_once() -> None:
    wrong = {"table": "signals", "schema": schema_without("ub").append(pa.field("at", TIME))}
    with pytest.raises(
        InputError, match=r"its table must .*; its schema lacks ub; created_at must"
    ):
        register(type("Wrong", (Momentum,), wrong)())


def test_a_name_is_given_once() -> None:
    with pytest.raises(InputError, match="another strategy has its name"):
        register(Momentum(), Momentum())


def test_what_the_store_makes_itself_is_part_of_what_every_strategy_gives() -> None:
    assert set(SIGNAL_COLUMNS.names) - SIGNAL_TABLE_COLUMNS == {"ub", "lb"}
    assert set(SIGNAL_COLUMNS.names) > SIGNAL_TABLE_COLUMNS
