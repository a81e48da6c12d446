"""The language of the code, as far as a machine can hold it (CONTRIBUTING.md, "House rules")."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pipelines.commands.main import commands
from tests.paths import ROOT
from tests.test_docs import DOCUMENTS, anchors, text_of

PRODUCT = ("engine", "pipelines", "strategies")
CODE = [path for part in (*PRODUCT, "tests", ".ci") for path in sorted((ROOT / part).rglob("*.py"))]
OTHER_TEXTS = [
    ROOT / "justfile",
    ROOT / "pyproject.toml",
    *sorted((ROOT / "sql").rglob("*.sql")),
    *sorted((ROOT / "engine").rglob("*.toml")),
]
ABOUT_TEXTS = (Path(__file__), ROOT / "tests" / "test_docs.py")  # name what they look for
# Where the installed command itself is meant, not what a user types in this folder.
KRT_MEANT = {
    "SECURITY.md": "a report names the version that is installed, with or without this folder",
    "justfile": "the recipes call the installed command",
    "pyproject.toml": "the command that the wheel installs",
    "test_recipe.py": "tests the shell between the recipes and the installed command",
}


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every name that is bound or read: variables, parameters, fields, keywords."""
    for node in ast.walk(tree):
        for field in ("id", "arg", "attr", "name", "asname", "rest"):
            if isinstance(name := getattr(node, field, None), str):
                yield getattr(node, "lineno", 0), name


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path))


def test_no_name_is_a_preposition() -> None:
    found = [
        where(path, line) for path in CODE for line, name in names(tree_of(path)) if name == "of"
    ]
    assert found == []


def test_a_class_name_stands_once() -> None:
    product = [path for path in CODE if path.relative_to(ROOT).parts[0] in PRODUCT]
    places = defaultdict(list)
    for path in product:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(where(path, node.lineno))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@cache
def words_of(path: Path) -> tuple[tuple[int, str], ...]:
    """Return the texts of a file with their lines: strings, docstrings and comments of Python."""
    if path.suffix != ".py":
        return tuple(enumerate(text_of(path).splitlines(), 1))
    nodes = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant))
    strings = [(node.lineno, node.value) for node in nodes if isinstance(node.value, str)]
    tokens = tokenize.generate_tokens(io.StringIO(text_of(path)).readline)
    comments = [(t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT]
    return (*strings, *comments)


def found_in(paths: list[Path], pattern: str) -> list[str]:
    """Return where a text of the files matches the pattern, and the match."""
    return [
        f"{where(path, line)} {match[0]}"
        for path in paths
        for line, text in words_of(path)
        for match in re.finditer(pattern, text)
    ]


def test_every_document_that_the_code_names_exists() -> None:
    texts = [path for path in [*CODE, *OTHER_TEXTS] if path not in ABOUT_TEXTS]
    # Not the name of a file alone, which is a path, nor a report, which its command writes.
    pattern = r"(?!\A[\w-]+\.md\Z)(?<![\w/.-])(?<!--report )[\w./-]+\.md\b(?:#[\w-]+)?"
    cited = found_in(texts, pattern)
    assert len(cited) > 10
    for place_and_link in cited:
        file, _, anchor = place_and_link.partition(" ")[2].partition("#")
        assert (ROOT / file).is_file(), place_and_link
        assert not anchor or anchor in anchors(ROOT / file), place_and_link


def test_texts_name_the_recipe_and_not_the_installed_command() -> None:
    names = [*commands(described=False), "--help", "--version"]
    recipe = "|".join(sorted(names, key=len, reverse=True))
    texts = [path for path in [*CODE, *DOCUMENTS, *OTHER_TEXTS] if path.name not in KRT_MEANT]
    assert found_in(texts, rf"\bkrt (?:{recipe})(?![\w-])") == []


def test_the_formatter_is_obeyed() -> None:
    assert found_in(CODE, r"fmt: ?(?:skip|off)\b") == []


def test_no_text_cites_a_document_that_only_the_authors_had() -> None:
    """A reader cannot look up what is not here: a text says what the thing is."""
    texts = [path for path in [*CODE, *DOCUMENTS, *OTHER_TEXTS] if path not in ABOUT_TEXTS]
    assert found_in(texts, r"(?i)\bthe (?:spec|specification)\b") == []


def test_long_queries_into_which_python_puts_nothing_stand_in_sql() -> None:
    """Except those of Postgres's own catalogue, and of the tests."""
    product = [path for path in CODE if path.relative_to(ROOT).parts[0] in PRODUCT]
    query = r"(?s)\A\s*(?:SELECT|WITH|FROM|INSERT|UPDATE|DELETE)\b[^{}]{200,}\Z"
    assert [found for found in found_in(product, query) if "pg_" not in found] == []
