"""Records of frames that come too seldom for `read_frames`, read one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime

from engine.kis.stream.gather import SEPARATOR
from engine.text import visible

_LONGEST_RAW = 2_000  # characters that are kept of a frame that cannot be read


def is_frame_of(text: str, tr_id: str) -> bool:
    """Say whether a text is a frame of a TR."""
    return text.startswith((f"0|{tr_id}|", f"1|{tr_id}|"))


def plain_records(text: str, fields: Sequence[str]) -> list[dict[str, str]] | None:
    """Return the records of a plain frame, field → text; None if it cannot be divided into them.

    Fields that KIS has appended to a record are left out.
    """
    parts = text.split("|", 3)
    is_plain = len(parts) == 4 and parts[0] == "0"
    if not is_plain or re.fullmatch("0*[1-9][0-9]{0,2}", parts[2]) is None:
        return None
    values, count = parts[3].split(SEPARATOR), int(parts[2])
    width, rest = divmod(len(values), count)
    if rest or width < len(fields):
        return None
    return [
        dict(zip(fields, values[first : first + width], strict=False))
        for first in range(0, len(values), width)
    ]


def rejected_record(
    received_at: datetime, tr_id: str, symbol: str, reason: str, text: str
) -> dict[str, object]:
    """Return a row of REJECTED_ROWS for a frame."""
    return {
        "received_at": received_at,
        "tr_id": tr_id,
        "symbol": visible(symbol)[:32],
        "reason": reason,
        "raw": json.dumps(text[:_LONGEST_RAW]),
    }
