"""The parameters of dolpha1."""

from __future__ import annotations

from math import ceil

from pydantic import Field

from strategies.base import Params

ENOUGH_BARS = 100  # with fewer than these at hand no signal is given
_FEWEST_BARS_A_SESSION = 300  # a session that opened late and closed early still has these
_SPARE = 4  # a minute may be missing from three of four sessions before history falls short


class Dolpha1Params(Params):
    """The parameters of dolpha1 with the defaults of the spec."""

    atr_period: int = Field(default=10, ge=1, le=1000, description="bars of the ATR's mean")
    rolling_move: int = Field(
        default=5, ge=3, le=250, description="earlier sessions of the mean move, three at least"
    )
    band_multiplier: float = Field(default=1.0, ge=0, description="width of the bands, in moves")
    use_vwap: bool = Field(default=True, description="long only above VWAP, short only below")


def sessions_needed(params: Dolpha1Params) -> int:
    """Return how many moves sigma_open needs at the least."""
    return max(params.rolling_move // 2, 3)


def warm_up_sessions(params: Dolpha1Params) -> int:
    """Return the sessions that must be at hand before a bar's own.

    sigma_open takes the last `rolling_move` sessions *that have the minute*, so sessions with gaps
    reach further back; four times as many leave room for that.
    """
    bars = max(params.atr_period + 1, ENOUGH_BARS)
    return max(_SPARE * params.rolling_move, ceil(bars / _FEWEST_BARS_A_SESSION))
