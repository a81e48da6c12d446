"""The style of the notebook: a font that has every Korean letter of our own texts."""

from __future__ import annotations

from pathlib import Path

import engine.market
import pipelines
from pipelines.reports.charts.style import FONT, font_face

_STYLE = f"""
:root {{ --marimo-text-font: "{FONT}", sans-serif; --marimo-heading-font: "{FONT}", sans-serif; }}
"""


def style() -> str:
    """Return the CSS as an element."""
    folders = [Path(pipelines.__file__).parent, Path(engine.market.__file__).parent]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    text = "".join(file.read_text("utf-8") for file in files)
    return f"<style>{font_face(text)}{_STYLE}</style>"
