"""The catalogue: complete in both languages, nothing left over, nothing lacking."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from engine.fetchers import bar_rules
from engine.history import evidence, halts
from engine.history.checks import all_checks
from engine.market.symbols import parse
from engine.store import ledger
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
# What people see beside the page; what it says stands in the catalogue alone.
SAYS = [
    "day/view.py",
    "day/rows.py",
    "day/summary.py",
    "day/messages.py",
    "day/alerts.py",
    "reports/pictures.py",
    "reports/option_pictures.py",
    "reports/study.py",
    *(f"reports/charts/{file.name}" for file in (ROOT / "pipelines/reports/charts").glob("*.py")),
]
# styles, the name of the command, a reason in the log
NOT_SAID = {"black on yellow", "white on red", "just live", "refused or not reached"}
# Korean that is read, not said; the notebook has its own words until it takes them from here.
KOREAN = {
    "doctor/settings_checks.py": "what people write where a key belongs",
    "service/manager.py": "how a Korean Windows says that a task is running",
    "commands/overview.py": "an example of a name to search for",
    "research/notebook.py": "the notebook",
    "reports/backtest/page.py": "letters of the font",
}


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


def said(file: Path) -> list[tuple[int, str]]:
    """The texts of a file that are not docstrings, and neither logged, raised nor asked for."""
    tree = ast.parse(file.read_text("utf-8"))
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            held: list[ast.AST] = [first] if isinstance(first, ast.Expr) else []
        elif isinstance(node, ast.Raise):
            held = [node]
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            value = getattr(getattr(node.func, "value", None), "id", "")
            held = [node] if name in CALLS or value == "log" or name == "query" else []
        else:
            continue
        left_out |= {id(inner) for part in held for inner in ast.walk(part)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in left_out
    ]


def test_nothing_that_people_read_is_said_outside_the_catalogue() -> None:
    """No Korean in the code of the pipelines, no English sentence where people are spoken to."""
    pipelines = ROOT / "pipelines"
    korean = [
        f"{file.relative_to(pipelines).as_posix()}:{line} {text}"
        for file in sorted(pipelines.rglob("*.py"))
        if file.relative_to(pipelines).as_posix() not in KOREAN
        for line, text in said(file)
        if re.search(r"[ㄱ-힣]", text)
    ]
    assert korean == []
    english = [
        f"{name}:{line} {text}"
        for name in SAYS
        for line, text in said(pipelines / name)
        if re.search(r"[A-Za-z]{2,} +(?:[a-z]+ +)*[a-z]{2,}", text) and text not in NOT_SAID
    ]
    assert english == []


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
        if key not in used and not any(key.startswith(one) for one in {*beginnings, "note_"})
    ]
    assert idle == []


def test_what_each_check_looks_for_is_said_in_english_as_its_file_says_it() -> None:
    said = {key: texts["en"] for key, texts in catalogue().items() if key.startswith("check_")}
    assert said == {f"check_{check.name}": check.says for check in all_checks()}


def test_each_reason_of_the_ledger_is_said_in_korean_too() -> None:
    """Sentences that stand in the code; a sentence with numbers in it: see the next test."""
    reasons = [
        text
        for module in (ledger, evidence, bar_rules)
        for name, text in vars(module).items()
        if name.isupper() and isinstance(text, str) and " " in text and text != evidence.LEFT_OUT
    ]
    assert len(reasons) > 15
    for reason in [*reasons, *halts.REASONS.values()]:
        assert re.search("[가-힣]", Texts("ko").noted(reason)), reason
        assert Texts("en").noted(reason) == reason


def test_every_note_is_of_something_that_is_written() -> None:
    """The words between the places stand in a check, a query, or the code."""
    files = [
        *(ROOT / "sql").rglob("*.sql"),
        *(file for part in ("engine", "pipelines") for file in (ROOT / part).rglob("*.py")),
    ]
    written = " ".join(
        " ".join(re.sub(r'"\n\s*"', "", f.read_text("utf-8")).split()) for f in files
    )
    pieced = ("gap", "no_", "doubled", "signals", "metrics")  # together, of words for a state
    for key, texts in catalogue().items():
        if not key.startswith("note_") or key.startswith(tuple(f"note_{one}" for one in pieced)):
            continue
        parts = [part.strip(" :;") for part, *_ in string.Formatter().parse(texts["en"])]
        assert [part for part in parts if part not in written] == [], key


@pytest.mark.parametrize(
    ("written", "korean"),
    [
        (
            "2 open from 10:00 to 10:01: to be asked again",
            "10:00~10:01 미해결 2분: 다시 요청할 예정",
        ),
        ("level_-3 of iv: 38.5 stored, NULL computed", "iv의 level_-3: 저장값 38.5, 계산값 NULL"),
        ("volume below zero", "거래량이 음수"),
        ("volume -3", "거래량 -3"),
        ("what nobody ever wrote", "what nobody ever wrote"),
    ],
)
def test_a_note_keeps_its_numbers_and_names(written: str, korean: str) -> None:
    assert Texts("ko").noted(written) == korean


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
    assert Texts("en").reason("own_word") == "own_word"
    assert Texts("ko").reason("insufficient_data_days_1") == "이전 거래일 부족"
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
