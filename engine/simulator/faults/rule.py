"""What all rules of a scenario have in common; `scenario` explains the fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

WEBSOCKET = "websocket"  # the endpoint of a connection that begins
GROUPS = {
    "bars": ("FHKIF03020200", "FHKST03010200", "FHKST03010230"),
    "futures": ("FHKIF03020200", "FHPIF05030000", "FHPIF05030200"),
    "stocks": ("FHKST03010200", "FHKST03010230"),
    "options": ("FHPIF05030100", "FHMIF10000000", "FHPIO056104C0"),
    "token": ("tokenP",),
    "told_once": (
        "FHPTJ04030000",
        "FHPPG04600101",
        "FHKUP03500200",
        "FHPIF05110100",
        "FHKST01010200",
    ),
}
STREAM_TRADES = ("H0IFCNT0", "H0MFCNT0", "H0IOCNT0", "H0EUCNT0", "H0STCNT0")
STREAM_BOOKS = ("H0IFASP0", "H0MFASP0", "H0IOASP0", "H0EUASP0", "H0STASP0")
STREAM_GROUPS = {
    "trades": STREAM_TRADES,
    "books": STREAM_BOOKS,
    "stream": (*STREAM_TRADES, *STREAM_BOOKS),
}
EVERYTHING = (
    "FHKIF03020200",
    "FHKST03010200",
    "FHKST03010230",
    "FHPIF05030000",
    "FHPIF05030100",
    "FHPIF05030200",
    "FHPIO056104C0",
    "FHMIF10000000",
    "FHPTJ04030000",
    "FHPPG04600101",
    "FHKUP03500200",
    "FHPIF05110100",
    "FHKST01010200",
    "FHKST11300006",
    "CTCA0903R",
    "tokenP",
    "Approval",
    WEBSOCKET,
    "master",
)
Share = Annotated[float, Field(gt=0, le=1)]


class Rule(BaseModel):
    """What all rules have in common; `groups` and `everything` are what `endpoint` may name."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = GROUPS
    everything: ClassVar[tuple[str, ...]] = EVERYTHING

    what: str
    endpoint: str | tuple[str, ...] = "all"
    symbol: str = "*"
    start: time = Field(time.min, alias="from")
    end: time = Field(time.max, alias="to")
    probability: Share | None = None
    every: int | None = Field(None, ge=1)
    limit: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _sensible(self) -> Rule:
        if self.probability is not None and self.every is not None:
            raise ValueError("give probability or every, not both")
        if self.start > self.end:
            raise ValueError(f"from {self.start} is after to {self.end}")
        known = {*self.groups, *self.everything, "all"}
        if unknown := sorted({*self._names()} - known):
            names = ", ".join(sorted(known))
            raise ValueError(f"endpoint {unknown[0]!r} is not one of {names}")
        return self

    def _names(self) -> tuple[str, ...]:
        return (self.endpoint,) if isinstance(self.endpoint, str) else self.endpoint

    @cached_property
    def endpoints(self) -> frozenset[str]:
        """Return the TR ids that the rule is about."""
        return frozenset(
            tr_id
            for name in self._names()
            for tr_id in (self.everything if name == "all" else self.groups.get(name, (name,)))
        )
