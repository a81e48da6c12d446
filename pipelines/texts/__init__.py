"""What people read, in Korean and in English: one catalogue, complete in both.

Every sentence stands under a key in one of the TOML files of this folder: `catalogue.toml` has what
the page says. Logs, errors and help stay English, and so does what checks and the ledger write: its
Korean is found by the English text (`Texts.noted`).

The language of a command is the setting `language`; where that is not set, Korean on a Korean
system and English on any other. A browser's preference comes before both (`preferred_language`).
"""

from __future__ import annotations

import locale
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol, get_args

from engine.errors import KrtError
from engine.market.names import english_subject, korean_subject
from engine.market.symbols import parse

Language = Literal["ko", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
_FOLDER = Path(__file__).parent
# What says a system's language on POSIX, the first that is set; on Windows, too, where it is.
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_KOREAN = re.compile(r"ko(?![a-z])|korean", re.IGNORECASE)
_PLACE = re.compile(r"\{(\w+)\}")
_PREFERENCE = re.compile(r"\s*([a-zA-Z]{2})[\w-]*\s*(?:;\s*q=([0-9.]+))?\s*", re.ASCII)


class Named(Protocol):
    """What has a name for people in both languages: a symbol."""

    @property
    def name_ko(self) -> str:
        """Its name in Korean."""
        ...

    @property
    def name_en(self) -> str:
        """Its name in English."""
        ...


@dataclass(frozen=True)
class Texts:
    """The catalogue in one language; calling it returns the text of a key."""

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of a key, with the values in place of their {names}.

        Raises KeyError for a key that the catalogue does not have.
        """
        return catalogue()[key][self.language].format(**values)

    def or_else(self, key: str, text: str) -> str:
        """Return the text of a key; where the catalogue has none, the text itself."""
        return self(key) if key in catalogue() else text

    def reason(self, code: str | None) -> str:
        """Return why a signal is what it is; a strategy's own word where the catalogue has none."""
        if code and code.startswith("insufficient_data_days"):  # with the number of those at hand
            return self("reason_insufficient_data_days")
        return self.or_else(f"reason_{code}", code or "")

    def noted(self, text: str) -> str:
        """Return what a check or the ledger writes in English; a text without a note as it is.

        Its numbers and names are kept.
        """
        if self.language == "en":
            return text
        for form, key in _notes():
            if found := form.fullmatch(text):
                values = {place: self.noted(value) for place, value in found.groupdict().items()}
                return self(key, **values)
        return text

    @property
    def large_won(self) -> float:
        """KRW in the unit in which people tell large amounts: 억 (100 million), or a billion."""
        return 1e8 if self.language == "ko" else 1e9

    def in_large_won(self, won: float, *, signed: bool = False) -> str:
        """Return an amount of KRW in `large_won`, whose name is the caller's text."""
        decimals = 0 if self.language == "ko" else 1
        return f"{won / self.large_won:{'+' if signed else ''},.{decimals}f}"

    def subject(self, name: str) -> str:
        """Return what a series, an index or a group of contracts is called: KOSPI200_FUTURES …"""
        return korean_subject(name) if self.language == "ko" else english_subject(name)

    def name(self, symbol: Named) -> str:
        """Return a symbol's name for people."""
        return symbol.name_ko if self.language == "ko" else symbol.name_en

    def name_of(self, code: str) -> str:
        """Return the name of what is stored under a code; of one that cannot be read the code."""
        try:
            return self.name(parse(code))
        except KrtError:
            return code


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Return all texts: key, language, text. Raises ValueError for a key that stands twice."""
    found: dict[str, Mapping[str, str]] = {}
    for file in sorted(_FOLDER.glob("*.toml")):
        texts = tomllib.loads(file.read_text("utf-8"))
        if twice := found.keys() & texts.keys():
            raise ValueError(f"{file.name}: {min(twice)} stands in another file, too")
        found |= texts
    return found


@cache
def _notes() -> list[tuple[re.Pattern[str], str]]:
    """Return the keys of the notes, each with the form of its English text, the longest first."""
    notes = {key: texts["en"] for key, texts in catalogue().items() if key.startswith("note_")}
    by_words = sorted(notes.items(), key=lambda note: -len(_PLACE.sub("", note[1])))
    return [(_form(text), key) for key, text in by_words]


def _form(text: str) -> re.Pattern[str]:
    """Return what matches a text with anything in its {places}."""
    parts = _PLACE.split(text)
    words, places = map(re.escape, parts[::2]), [f"(?P<{name}>.+?)" for name in parts[1::2]]
    return re.compile(
        "".join(word + place for word, place in zip(words, [*places, ""], strict=True))
    )


def texts_for(usual: Language | None) -> Texts:
    """Return the texts in the language of a command; `usual` is what the settings say."""
    return Texts(usual or system_language())


def system_language() -> Language:
    """Return the language of the system: ko for a Korean one, en for any other."""
    told = next(filter(None, map(os.environ.get, _VARIABLES)), locale.getlocale()[0])
    return "ko" if _KOREAN.match(told or "") else "en"


def language_of(text: object) -> Language | None:
    """Return the language that a text names, ko or en; None for any other."""
    return next((language for language in LANGUAGES if language == text), None)


def preferred_language(accepted: str, usual: Language | None = None) -> Language:
    """Return the language that a browser likes best, from its header Accept-Language.

    Where it likes neither of ours: `usual`, which the settings say, else English.
    """
    return next(iter(_by_preference(accepted.split(","))), usual or "en")


def _by_preference(parts: Iterable[str]) -> list[Language]:
    liked = []
    for part in parts:
        match = _PREFERENCE.fullmatch(part)
        language = language_of(match[1].lower()) if match else None
        if match and language:
            liked.append((-_weight(match[2]), language))
    return [language for weight, language in sorted(liked, key=lambda pair: pair[0]) if weight]


def _weight(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0
