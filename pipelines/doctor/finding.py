"""What a check finds, and what all checks are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.clock import WallClock
from engine.settings import DataKind, Settings
from pipelines.reports.standing import State


@dataclass(frozen=True)
class Finding:
    """What a check says, in one line each: how it stands, and what to do unless it is well."""

    check: str
    state: State
    says: str
    remedy: str = ""


@dataclass(frozen=True)
class Situation:
    """Where a doctor is called to. The settings are the defaults where the user's are in `trouble`.

    The clock is the machine's, which may be wrong.
    """

    folder: Path  # of config.json and db_config.json
    settings: Settings
    clock: WallClock
    trouble: str | None = None  # why the settings cannot be read

    @property
    def kind(self) -> DataKind:
        """Which data is collected here."""
        return "live" if self.settings.has_credentials else "simulation"

    @property
    def data_folder(self) -> Path:
        """The folder of everything that is kept."""
        return self.settings.data_folder.expanduser()


Check = Callable[[Situation], Iterable[Finding]]
