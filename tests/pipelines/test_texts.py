"""The catalogue: complete in both languages, nothing left over, nothing lacking."""

from __future__ import annotations

import ast
import string

import pytest

from engine.market.symbols import parse
from pipelines.texts import (
    LANGUAGES,
    Texts,
    catalogue,
    preferred_language,
    system_language,
    texts_for,
)
from tests.paths import ROOT

CALLS = {"t", "or_else", "_raw"}


def trees() -> list[ast.Module]:
    files = sorted((ROOT / "pipelines").rglob("*.py"))
    return [ast.parse(file.read_text("utf-8")) for file in files]


def constants() -> set[str]:
    """All texts of the program: a key may stand in a tuple that is said later."""
    return {
        node.value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def asked() -> tuple[set[str], set[str]]:
    """The keys that are asked for, and the beginnings of those that are put together."""
    keys, beginnings = set(), set()
    for tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            first = node.args[0]
            if name not in CALLS:
                continue
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                keys.add(first.value)
            elif isinstance(first, ast.JoinedStr) and isinstance(first.values[0], ast.Constant):
                beginnings.add(str(first.values[0].value))
    return keys, beginnings


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_every_text_is_there_in_both_languages_with_the_same_places(key: str) -> None:
    texts = catalogue()[key]
    assert set(texts) == set(LANGUAGES)
    assert all(text.strip() for text in texts.values())
    assert places(texts["ko"]) == places(texts["en"])


def test_every_key_that_is_asked_for_is_there_and_none_is_left_over() -> None:
    keys, beginnings = asked()
    assert len(keys) > 50
    assert keys - set(catalogue()) == set()
    used = constants()
    idle = [
        key
        for key in catalogue()
        if key not in used and not any(key.startswith(one) for one in beginnings)
    ]
    assert idle == []


def test_the_english_texts_have_no_korean_letter_but_the_name_of_the_language() -> None:
    korean = {
        key
        for key, texts in catalogue().items()
        if any("가" <= letter <= "힣" for letter in texts["en"])
    }
    assert korean == {"language_switch"}


@pytest.mark.parametrize(
    ("accepted", "usual", "language"),
    [
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", None, "ko"),
        ("en-GB", None, "en"),
        ("de-DE,de;q=0.9,ko;q=0.8,en;q=0.4", None, "ko"),
        ("ko;q=0,en;q=0.1", None, "en"),
        ("fr", "ko", "ko"),
        ("fr", None, "en"),
        ("", "ko", "ko"),
        ("ko;q=x, ;;, en;q=0.2", None, "en"),
    ],
)
def test_a_browser_says_which_language_it_likes(
    accepted: str, usual: str | None, language: str
) -> None:
    assert preferred_language(accepted, usual) == language  # type: ignore[arg-type]


def test_a_text_is_filled_and_an_unknown_key_is_an_error() -> None:
    assert Texts("ko")("missing_open", count="3") == "미해결 3"
    assert Texts("en")("missing_open", count="3") == "open 3"
    assert Texts("en").name(parse("A01612")) == "KOSPI200 futures 2026-12 A01612"
    assert Texts("en").or_else("reason_of_nobody", "own_word") == "own_word"
    with pytest.raises(KeyError):
        Texts("en")("no such key")


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "ko_KR.eucKR"}, "ko"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "kok_IN.UTF-8"}, "en"),
        ({"LANG": "ko"}, "ko"),
    ],
)
def test_a_command_speaks_the_language_of_the_system_unless_the_settings_name_one(
    variables: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert system_language() == language
    assert texts_for(None) == Texts(language)  # type: ignore[arg-type]
    assert texts_for("ko") == Texts("ko")
    assert texts_for("en") == Texts("en")


@pytest.mark.parametrize(
    ("name", "language"), [("Korean_Korea", "ko"), ("ko_KR", "ko"), ("en_US", "en"), (None, "en")]
)
def test_windows_says_its_language_in_words(
    name: str | None, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("locale.getlocale", lambda: (name, "949"))
    assert system_language() == language
