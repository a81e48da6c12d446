"""The files that the page loads: script, style, chart library, Korean letters; compressed once."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from engine.market import names
from pipelines.reports.charts.style import font_face
from pipelines.texts import catalogue

STATIC = Path(__file__).with_name("static")
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_FONT = "korean.css"
# Korean letters are always ours: Chromium does not draw a text anew when a font comes that it
# had looked for in vain among the system's.
_RANGE = "font-display:block;unicode-range:U+1100-11FF,U+3000-303F,U+3130-318F,U+AC00-D7A3"


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    content_type: str
    plain: bytes
    packed: bytes  # gzip


@cache
def assets() -> dict[str, Asset]:
    """Return the files by their names."""
    files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in _TYPES}
    files[_FONT] = f"{font_face(_letters())[:-1]};{_RANGE}}}".encode()
    return {
        name: Asset(_TYPES[Path(name).suffix], plain, gzip.compress(plain, 9, mtime=0))
        for name, plain in files.items()
    }


@cache
def version() -> str:
    """Return a hash of all files: part of their addresses, so that browsers may keep them."""
    found = hashlib.sha256()
    for name, asset in sorted(assets().items()):
        found.update(name.encode() + asset.plain)
    return found.hexdigest()[:12]


@cache
def template(name: str) -> Template:
    """Return a page of the folder `static` with $places for texts."""
    return Template((STATIC / name).read_text("utf-8"))


def _letters() -> str:
    """Return a text with every letter that the page may write itself."""
    said = (text for texts in catalogue().values() for text in texts.values())
    market = Path(names.__file__).parent
    files = (file.read_text("utf-8") for file in sorted(market.glob("*.py")))
    return "".join(sorted(set("".join([*said, *files, names.listed_letters()]))))
