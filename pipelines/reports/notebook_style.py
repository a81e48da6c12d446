"""The style of the notebook: a font that has every Korean letter of our own texts."""

from __future__ import annotations

from pathlib import Path

import engine.market
import pipelines
from pipelines.reports.charts.style import FONT, font_face

# marimo hides what is higher than 610 pixels behind a scroll bar: the last panel of pictures. The
# cell with the controls stays at the top of the page while the others scroll under it. A picture
# that is wider than the screen is drawn smaller: behind a scroll bar it would lack the day's end.
_STYLE = f"""
:root {{ --marimo-text-font: "{FONT}", sans-serif; --marimo-heading-font: "{FONT}", sans-serif; }}
.vega-embed canvas {{ max-width: 100%; height: auto !important; }}
.output-area {{ max-height: none !important; overflow-x: auto; }}
div:has(> [id^="cell-"] .krt-controls) {{ position: sticky !important; top: 0; z-index: 30; }}
.krt-controls {{ background: var(--background); padding: 6px 0; }}
"""


def style() -> str:
    """Return the CSS as an element."""
    folders = [Path(pipelines.__file__).parent, Path(engine.market.__file__).parent]
    suffixes = ("*.py", "*.toml")  # the texts of both languages are in TOML
    files = [file for folder in folders for one in suffixes for file in folder.rglob(one)]
    text = "".join(file.read_text("utf-8") for file in files)
    return f"<style>{font_face(text)}{_STYLE}</style>"
