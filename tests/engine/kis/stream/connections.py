"""Registrations for connections that are tested, and how often one was made."""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.kis.stream.registrations import StreamRegistration

MANY = [StreamRegistration("H0STCNT0", f"{number:06d}") for number in range(1, 51)]


def always(_one: StreamRegistration, _moment: datetime) -> bool:
    return True


def most_in_ten_minutes(moments: list[datetime]) -> int:
    window = timedelta(seconds=600)
    return max(sum(start <= m <= start + window for m in moments) for start in moments)
