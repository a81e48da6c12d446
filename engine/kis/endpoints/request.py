"""What the client needs to know about a call, and the TR ids that the settings may replace."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import ClassVar, Protocol

log = logging.getLogger(__name__)

FUTUREOPTION = "/uapi/domestic-futureoption/v1/quotations"  # what paths begin with
STOCK = "/uapi/domestic-stock/v1/quotations"
_MISPRINTS = {"FHlkPIF05030100": "FHPIF05030100"}  # of the config.json that users start from


class Request(Protocol):
    """What the client needs to know about a call."""

    tr_id: ClassVar[str]
    path: ClassVar[str]
    setting: ClassVar[str]  # its name under `tr_id` in config.json, "" if it has none
    own_pace: ClassVar[float | None]  # calls a second of this path, within the key's budget

    @property
    def symbol(self) -> str:
        """What the call is about, for errors and the circuit breaker."""
        ...

    def params(self) -> dict[str, str]:
        """Return the query."""
        ...


class Call:
    """What most calls have in common: no name in the settings, no pace of their own."""

    setting: ClassVar[str] = ""
    own_pace: ClassVar[float | None] = None


def sent_tr_id(request: Request, configured: Mapping[str, str]) -> str:
    """Return the TR id to send: that of the settings if they have one."""
    return configured.get(request.setting) or request.tr_id


def correct_tr_ids(configured: Mapping[str, str]) -> dict[str, str]:
    """Return the settings' TR ids with a known misprint corrected; each correction is logged."""
    for name, tr_id in configured.items():
        if tr_id in _MISPRINTS:
            log.warning(
                "⚠️ tr_id.%s is %s in the settings, a misprint of %s, which is used",
                name,
                tr_id,
                _MISPRINTS[tr_id],
            )
    return {name: _MISPRINTS.get(tr_id, tr_id) for name, tr_id in configured.items()}
