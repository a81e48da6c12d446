"""Frames for tests: real ones that users published, and others made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import Frame

FUTURE_AT = datetime(2026, 7, 22, 15, 29, 54, 500_000)  # when the frames may have come
STOCK_AT = datetime(2025, 7, 30, 9, 47, 51, 600_000)
# The mini KOSPI200 future A05608, one record each, a second apart.
FIRST_FUTURE = (
    "0|H0IFCNT0|001|A05608^152953^-0.54^5^-0.05^1080.30^1131.06^1146.44^1079.36^1^134935^"
    "7587962447^1082.72^-0.91^-0.22^0.00^0.00^5.22^76672^571^000000^5^-50.76^000000^5^-66"
    ".14^000000^2^0.94^0.49^94.95^-2.42^0^1.51^1080.30^1080.04^1^1^60234^56822^-3412^6915"
    "0^65657^997^478^106.25^0^1091.10^1069.50^2"
)
SECOND_FUTURE = (
    "0|H0IFCNT0|001|A05608^152954^-0.54^5^-0.05^1080.30^1131.06^1146.44^1079.36^1^134936^"
    "7588016462^1082.72^-0.91^-0.22^0.00^0.00^5.10^76672^571^000000^5^-50.76^000000^5^-66"
    ".14^000000^2^0.94^0.49^94.95^-2.42^0^1.51^1080.30^1080.26^1^1^60234^56823^-3411^6915"
    "0^65658^943^484^106.25^0^1091.10^1069.50^2"
)
# 005930, three trades within one second.
THREE_STOCKS = (
    "0|H0STCNT0|003|005930^094751^71950^2^1350^1.91^71690.50^71000^72300^70600^72000^7190"
    "0^1^8305216^595403999350^21115^28170^7055^136.06^3060313^4163762^5^0.51^29.46^090014"
    "^2^950^090708^5^-350^090030^2^1350^20250730^20^N^93994^113056^1668973^822214^0.14^10"
    "584139^78.47^0^^71000^005930^094751^71900^2^1300^1.84^71690.50^71000^72300^70600^720"
    "00^71900^2^8305218^595404143150^21116^28170^7054^136.06^3060315^4163762^5^0.51^29.46"
    "^090014^2^900^090708^5^-400^090030^2^1300^20250730^20^N^93985^112986^1668973^822144^"
    "0.14^10584139^78.47^0^^71000^005930^094751^72000^2^1400^1.98^71690.50^71000^72300^70"
    "600^72000^71900^75^8305293^595409543150^21116^28171^7055^136.06^3060315^4163837^1^0."
    "51^29.46^090014^2^1000^090708^5^-300^090030^2^1400^20250730^20^N^93985^112986^166897"
    "3^822144^0.14^10584139^78.47^0^^71000"
)


def records(frame: str) -> list[list[str]]:
    """Return the fields of each record of a good frame."""
    _, _, count, body = frame.split("|")
    fields = body.split("^")
    width = len(fields) // int(count)
    return [fields[start : start + width] for start in range(0, len(fields), width)]


def changed(record: Sequence[str], tr_id: str, changes: Mapping[str, object]) -> list[str]:
    """Return a record with other values in the named fields."""
    names = LAYOUTS[tr_id].fields
    values = dict(zip(names, record, strict=False)) | {k: str(v) for k, v in changes.items()}
    return [*(values[name] for name in names), *record[len(names) :]]


def frame(tr_id: str, *given: Sequence[str], count: str | None = None) -> str:
    """Return a frame of these records."""
    written = f"{len(given):03d}" if count is None else count
    return f"0|{tr_id}|{written}|" + "^".join("^".join(record) for record in given)


def futures(*changes: Mapping[str, object], tr_id: str = "H0IFCNT0") -> str:
    """Return a frame of futures trades: the real one with these changes, a record for each."""
    (real,) = records(FIRST_FUTURE)
    named = dict(zip(LAYOUTS["H0IFCNT0"].fields, real, strict=True))
    known = [named.get(name, "0") for name in LAYOUTS[tr_id].fields]
    return frame(tr_id, *(changed(known, tr_id, one) for one in changes))


def stocks(*changes: Mapping[str, object]) -> str:
    """Return a frame of stock trades: the first real one with these changes, a record for each."""
    real = records(THREE_STOCKS)[0]
    return frame("H0STCNT0", *(changed(real, "H0STCNT0", one) for one in changes))


def made(tr_id: str, values: Mapping[str, object]) -> list[str]:
    """Return a record of any TR, all fields 0 but these."""
    return changed(["0"] * LAYOUTS[tr_id].width, tr_id, values)


def at(moment: datetime, *texts: str) -> list[Frame]:
    return [(moment, text) for text in texts]
