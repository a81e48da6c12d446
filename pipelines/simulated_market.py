"""Which market a simulation goes on with: the one that its database began with.

Another would not fail: a backfill would correct every bar into bars of its own.
"""

from __future__ import annotations

from engine.errors import InputError
from engine.simulator.market.data import MarketData
from engine.simulator.market.recorded import RecordedMarket
from engine.simulator.market.synthetic import SyntheticMarket
from engine.store.connection import Connection, fetch_frame

SEED = 20  # of the synthetic market, unless another is asked for
_SEED, _RECORDED = "seed ", "recorded"
_SAID = {_RECORDED: "of a recorded file (--replay)"}


def kept_market(url: str, asked: MarketData | None) -> MarketData:
    """Return the market to collect from: the one asked for, else the database's own.

    The first who collects chooses; it is remembered. Raises InputError if another is asked for, or
    none where only the file has the bars.
    """
    wanted = _name(asked) if asked else f"{_SEED}{SEED}"
    held = _held(url, wanted)
    if held == wanted:
        return asked or SyntheticMarket(SEED)
    if asked is None and held.startswith(_SEED):
        return SyntheticMarket(int(held.removeprefix(_SEED)))
    raise InputError(
        f"the database holds a simulation {_said(held)}, and this one is {_said(wanted)}: go on"
        " with the same, or empty it with `krt live --fresh`"
    )


def _name(market: MarketData) -> str:
    if isinstance(market, SyntheticMarket):
        return f"{_SEED}{market.seed}"
    assert isinstance(market, RecordedMarket)  # noqa: S101 - commands know no other
    return _RECORDED


def _said(name: str) -> str:
    return _SAID.get(name, f"of {name}")


def _held(url: str, wanted: str) -> str:
    """Return the market in the database; the wanted one if there was none."""
    connection = Connection(url, "market")
    try:
        with connection.transaction() as cursor:
            cursor.execute(
                "INSERT INTO simulated_market (market) VALUES ($1) ON CONFLICT DO NOTHING",
                (wanted,),
            )
            held: str = fetch_frame(cursor, "SELECT market FROM simulated_market").item()
    finally:
        connection.close()
    return held
