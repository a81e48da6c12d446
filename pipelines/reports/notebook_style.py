"""The style of the notebook: a font that has every Korean letter of our own texts."""

from __future__ import annotations

from pathlib import Path

import engine.market
import pipelines
from pipelines.reports.charts.style import FONT, Picture, font_face

# marimo hides what is higher than 610 pixels behind a scroll bar: the last panel of pictures. The
# cell with the controls stays at the top of the page while the others scroll under it. A picture is
# as wide as the page, whatever screen it is on: behind a scroll bar it would lack the day's end.
_STYLE = f"""
:root {{ --marimo-text-font: "{FONT}", sans-serif; --marimo-heading-font: "{FONT}", sans-serif; }}
.vega-embed, .vega-embed svg.marks {{ width: 100% !important; }}
.vega-embed svg.marks {{ height: auto !important; }}
.output-area {{ max-height: none !important; overflow-x: auto; }}
div:has(> [id^="cell-"] .krt-controls) {{ position: sticky !important; top: 0; z-index: 30; }}
.krt-controls {{ background: var(--background); padding: 6px 0; }}
"""


def scalable(picture: Picture) -> Picture:
    """Return the picture drawn as lines, not as pixels: sharp, with its tooltips, at any width."""
    drawn: Picture = picture.properties(usermeta={"embedOptions": {"renderer": "svg"}})
    return drawn


def style() -> str:
    """Return the CSS as an element."""
    folders = [Path(pipelines.__file__).parent, Path(engine.market.__file__).parent]
    suffixes = ("*.py", "*.toml")  # the texts of both languages are in TOML
    files = [file for folder in folders for one in suffixes for file in folder.rglob(one)]
    text = "".join(file.read_text("utf-8") for file in files)
    return f"<style>{font_face(text)}{_STYLE}</style>"
