"""The parameters of dolpha1."""

from __future__ import annotations

from pydantic import Field

from strategies.base import Params

ENOUGH_BARS = 100  # no signal is given before a symbol has this many


class Dolpha1Params(Params):
    """The parameters of dolpha1 and their defaults."""

    atr_period: int = Field(default=10, ge=1, le=1000, description="bars of the ATR's mean")
    rolling_move: int = Field(
        default=5, ge=3, le=250, description="earlier sessions of the mean move, three at least"
    )
    band_multiplier: float = Field(default=1.0, ge=0, description="width of the bands, in moves")
    use_vwap: bool = Field(default=True, description="long only above VWAP, short only below")


def sessions_needed(params: Dolpha1Params) -> int:
    """Return how many earlier moves sigma_open needs at least."""
    return max(params.rolling_move // 2, 3)
