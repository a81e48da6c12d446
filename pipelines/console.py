"""The console that everything is printed with: texts of others stay texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from engine.text import visible


class PlainConsole(Console):
    """A console on which a text is neither markup (`[red]`, `[link=…]`) nor a control character.

    Names of symbols, messages and cells come from KIS, files and the database.
    """

    def __init__(
        self,
        *,
        file: IO[str] | None = None,
        stderr: bool = False,
        record: bool = False,
        width: int | None = None,
    ) -> None:
        super().__init__(
            file=file, stderr=stderr, record=record, width=width, markup=False, emoji=False
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return what is to be written; rich's own control codes come apart from the texts."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, keep="\n"), segment.style)
