"""How far a future may trade from its previous close, as KIS shows it.

Answers about bars have the day's limits (`futs_mxpr`, `futs_llam`); whether these follow when the
exchange widens them is not known. The single quote has fields of its own for the wider ones
(`crbr_aply_…`, docs/kis.md#price-limits), so it is asked for when a limit has been reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.kis import codec
from engine.kis.answer import Answer

FIRST_STEP, LAST_STEP = 8, 20  # per cent of the previous close


@dataclass(frozen=True)
class ShownLimits:
    """The limits in an answer: `step` is their distance from the previous close, whole per cent.

    `is_reached`: the day's high or low has come to a limit.
    """

    symbol: str
    step: int
    is_reached: bool
    source: str
    told_at: datetime  # by KIS's clock


def read_limits(answer: Answer, symbol: str) -> ShownLimits | None:
    """Return the limits in `output1`, the widened ones where it has them; None if it has none.

    Limits are rounded inwards to the tick, so their distance is that of the nearest whole per cent.
    """
    record = answer.record("output1")

    def shown(*fields: str) -> float | None:
        values = (codec.value(record, field) for field in fields)
        return next((value for value in values if value is not None and value > 0), None)

    base = shown("futs_prdy_clpr", "futs_sdpr")
    upper, lower = shown("crbr_aply_mxpr", "futs_mxpr"), shown("crbr_aply_llam", "futs_llam")
    if base is None or upper is None or lower is None:
        return None
    high, low = shown("futs_hgpr"), shown("futs_lwpr")
    is_reached = (high is not None and high >= upper) or (low is not None and low <= lower)
    step = round(100 * max(upper / base - 1, 1 - lower / base))
    return ShownLimits(symbol, step, is_reached, answer.tr_id, answer.as_of)
