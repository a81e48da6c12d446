"""Texts of others (KIS, files, the database) as what they are: never commands to who shows them.

A terminal obeys control characters: it changes colours and titles, moves its cursor over lines that
were written before, and some answer as if the user had typed. Others reorder what is read, or hide
it. Each such character is shown as Python writes it: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import re
import unicodedata

_SPACES = "Zs"  # wide and unbreakable spaces cannot be printed for Python, but do no harm
_IN_JSON = re.compile(r"[^\x00-\x7e]")  # JSON itself escapes what comes before the space


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 bar, 1,234 bars."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def visible(text: str, keep: str = "") -> str:
    """Return the text with everything that cannot be printed as escapes, but for `keep`."""
    if text.isprintable():  # nearly always, and quick
        return text
    return "".join(c if c in keep or _is_shown(c) else ascii(c)[1:-1] for c in text)


def visible_json(text: str) -> str:
    """Return JSON that says the same to whoever reads it, with escapes of its own."""
    return text if text.isprintable() else _IN_JSON.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if _is_shown(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == _SPACES
