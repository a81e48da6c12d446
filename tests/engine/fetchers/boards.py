"""Boards of options as KIS answers with them, for a stub that gives one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

from tests.engine.kis.stub_kis import ReceivedRequest, StubReply, fine

Answering = Callable[[ReceivedRequest], StubReply]


def option(strike: float, side: str = "B", **changed: Any) -> dict[str, Any]:
    code = f"{side}01612{int(strike) // 100}{int(strike) % 100:02d}"
    return {
        "acpr": f"{strike:.2f}",
        "optn_shrn_iscd": code,
        "optn_prpr": "1.50",
        "optn_bidp": "1.45",
        "optn_askp": "1.55",
        "acml_vol": "       12",
        "hts_otst_stpl_qty": "30",
        "gama": "0.0010",
        "delta_val": "0.5000",
        "vega": "0.3",
        "theta": "-0.1",
        "rho": "0.01",
        "hts_thpr": "1.60",
        "hts_ints_vltl": "31.5",
        "hist_vltl": "76.6483",
        "atm_cls_name": "ATM",
        **changed,
    }


def chain_answers(
    calls: list[Any], puts: list[Any], top: dict[str, Any] | None = None, **quotes: StubReply
) -> Answering:
    """Answer with this board, and with these quotes by code; any other code has a price of 2.50."""
    master = "\n".join(
        f"5|{side}01612{int(k) // 100}{int(k) % 100:02d}|K|n|1|{k:.2f}|1|2001|KOSPI200"
        for k in (300 + 2.5 * n for n in range(140))
        for side in "BC"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("fo_idx_code_mts.mst", master.encode("cp949"))

    def answer(asked: ReceivedRequest) -> StubReply:
        if "callput" in asked.path:
            return fine(output1=calls, output2=puts)
        if "display-board-top" in asked.path:
            prices = {"futs_prpr": "350.00", "unas_prpr": "349.00"} if top is None else top
            return fine(output1=prices, output2=[])
        if "inquire-price" in asked.path:
            return quotes.get(asked.query["FID_INPUT_ISCD"], fine(output1={"futs_prpr": "2.50"}))
        return StubReply(packed.getvalue())

    return answer


HIGH = (
    [option(647.5 - 2.5 * n) for n in range(100)],
    [option(647.5 - 2.5 * n, "C") for n in range(100)],
)
