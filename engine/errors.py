"""The one tree of errors. Catching KrtError catches everything we raise on purpose.

KrtError
 ├─ InputError             an option, file, symbol or setting of the user cannot be used
 │   ├─ CalendarRangeError a date outside the range that the calendar knows
 │   └─ FileError          rows of a file cannot be used; its findings say which and why
 ├─ KisError               KIS refused, or its answer cannot be used
 │   ├─ KisUnreachable     no answer: timeout, reset, HTML, 5xx; worth another try
 │   ├─ KisPaceExceeded    EGW00201, too many calls this second; worth another try, later
 │   ├─ KisTokenRejected   EGW00121/00122/00123; worth one try with a new token
 │   └─ KisRefused         any other refusal; another try would get the same answer
 │       ├─ KisKeyRefused  KIS accepts none of our app keys: no call can succeed
 │       └─ KisAccessRefused  an unknown refusal that an old token may be the reason of
 └─ StoreError             Postgres
     ├─ StoreUnreachable   the server is away; the batch belongs in the spool
     │   └─ StoreLoginRefused  it does not let us in: a wrong password, role or database
     ├─ SchemaMismatch     batch and table differ; writing would store garbage
     └─ SchemaIsNewer      another version of the program has migrated the database
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from engine.text import visible

if TYPE_CHECKING:
    import polars as pl


class KrtError(Exception):
    """A failure that we understand: one line for the user, with the context that is known.

    `tr_id` and `msg_cd` are KIS's names for the call and the refusal; `minute` is KST without zone.
    """

    def __init__(
        self,
        message: str,
        *,
        tr_id: str | None = None,
        msg_cd: str | None = None,
        symbol: str | None = None,
        minute: datetime | None = None,
    ) -> None:
        super().__init__(visible(message))  # it may quote KIS, a file or the database
        self.tr_id = tr_id
        self.msg_cd = msg_cd and visible(msg_cd)
        self.symbol = symbol
        self.minute = minute

    def __str__(self) -> str:
        known = {
            "tr_id": self.tr_id,
            "msg_cd": self.msg_cd,
            "symbol": self.symbol,
            "minute": f"{self.minute:%Y-%m-%d %H:%M}" if self.minute else None,
        }
        context = ", ".join(f"{name} {value}" for name, value in known.items() if value)
        return f"{super().__str__()} ({context})" if context else super().__str__()


class InputError(KrtError):
    """An option, file, symbol, date or setting of the user cannot be used. Exit code 2."""


class CalendarRangeError(InputError):
    """A date outside the calendar's range: no answer is better than a wrong one."""


class FileError(InputError):
    """Rows of a file cannot be used. `findings` has a row for each reason.

    Its columns are reason, rows (how many), first_row (counted as people count) and example.
    """

    def __init__(self, message: str, findings: pl.DataFrame) -> None:
        super().__init__(message)
        self.findings = findings


class KisError(KrtError):
    """KIS refused, or its answer cannot be used."""


class KisUnreachable(KisError):
    """No usable answer: timeout, reset, HTML or empty body, 5xx. Another try may succeed."""


class KisPaceExceeded(KisError):
    """EGW00201: more calls this second than KIS allows. Another try succeeds later."""


class KisTokenRejected(KisError):
    """EGW00121, EGW00122, EGW00123: the token is invalid, unknown or expired."""


class KisRefused(KisError):
    """KIS refuses for good: a bad key, a wrong parameter. Another try gets the same answer."""


class KisKeyRefused(KisRefused):
    """KIS does not accept the app key (EGW00103, EGW00105), or gives no token for it."""


class KisAccessRefused(KisRefused):
    """KIS refuses access in words that nobody listed: a token that died early may be why."""


class StoreError(KrtError):
    """Postgres refused a statement, or could not run it."""


class StoreUnreachable(StoreError):
    """The server is away or is shutting down; the same statement may succeed later."""


class StoreLoginRefused(StoreUnreachable):
    """The server lets us in no more: password, role, database or pg_hba.conf. A person must act."""


class SchemaMismatch(StoreError):
    """A batch does not have the columns or types of its table; ADBC would store garbage bits."""


class SchemaIsNewer(StoreError):
    """The database has migrations that this program does not know: it has to be upgraded."""
