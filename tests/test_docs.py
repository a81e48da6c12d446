"""The documents: links, paths and commands exist, every line of the log is explained."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import pytest
import yaml

from engine import errors
from engine.market.told_once import STREAMS
from engine.store.tables import TABLES
from pipelines.commands import main
from pipelines.day import live
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import DataFeedBuilder, Feed
from tests import pictures
from tests.paths import ROOT
from tests.test_readme import recipes

LEADING = [ROOT / name for name in ("README.md", "README.ko.md", "CONTRIBUTING.md", "SECURITY.md")]
DOCUMENTS = [*LEADING, *sorted((ROOT / "docs").glob("*.md"))]
OPERATIONS = ROOT / "docs" / "operations.md"
SIGNS = ("⚠️", "❌", "🔄")
ERRORS = {name for name in vars(errors) if name.startswith(("Kis", "Store", "Schema"))}
ERRORS |= {"SpoolDamaged"}
SOURCES = [
    path for part in ("engine", "pipelines", "strategies") for path in (ROOT / part).rglob("*.py")
]
each = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def text_of(document: Path) -> str:
    return document.read_text("utf-8")


def prose_of(document: Path) -> str:
    return re.sub(r"^```.*?^```", "", text_of(document), flags=re.DOTALL | re.MULTILINE)


def spans(document: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose_of(document))


def anchors(document: Path) -> set[str]:
    """Return the anchors of headings as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose_of(document)):
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@each
def test_every_path_exists(document: Path) -> None:
    paths = [s for s in spans(document) if re.fullmatch(r"\.?(?:[\w.-]+/)+[\w.-]*", s)]
    ours = [p for p in paths if p.split("/")[0] in {path.name for path in ROOT.iterdir()}]
    assert [path for path in ours if not (ROOT / path).exists()] == []


cached_recipes = cache(recipes)


def commands(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each command that is shown, and the words after its name."""
    fenced = re.findall(r"^```sh\n(.*?)^```", text_of(document), re.DOTALL | re.MULTILINE)
    lines = [line for block in fenced for line in block.splitlines()]
    for said in [*spans(document), *lines]:
        if found := re.match(r"(?:uv run )?(just|krt) ([A-Za-z][\w-]*)(.*)", said):
            yield found[2], found[3].split()


@each
def test_every_command_exists_with_its_options(document: Path) -> None:
    known, app = {*cached_recipes(), "RECIPE"}, main.commands(described=False)
    for name, words in commands(document):
        assert name in known or name in app, f"{name} {words}"
        if name not in app:
            continue
        names = {n for a in app[name].assemble_argument_collection() for n in a.names}
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= names | {"--help"}, f"{name} {words}"


def said(node: ast.expr) -> str | None:
    """Return a literal text with … where something is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[-.\d]*[a-z]", "…", node.value).replace("`", "")
    if isinstance(node, ast.JoinedStr):
        parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
        return "".join(map(str, parts)).replace("`", "")
    return None


def name_of(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return f"{name_of(called.value)}.{called.attr}"
    return called.id if isinstance(called, ast.Name) else ""


@cache
def calls() -> list[tuple[str, str]]:
    """Return what is called (log.warning, KisUnreachable …) and the text that it is given."""
    nodes = (node for path in SOURCES for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    called = (node for node in nodes if isinstance(node, ast.Call) and node.args)
    return [(name_of(c.func), text) for c in called if (text := said(c.args[0]))]


def logged() -> set[str]:
    lines = {text for what, text in calls() if what in ("log.warning", "log.error")}
    assert len(lines) > 30
    return lines


def test_every_line_of_the_log_is_explained_and_no_other() -> None:
    section = text_of(OPERATIONS).split("## Every line it can log")[1].split("\n## ")[0]
    explained = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
    assert explained == logged()
    assert all(line.startswith(SIGNS) for line in explained)


def test_every_error_is_explained() -> None:
    told = set(spans(OPERATIONS))
    raised = {text for what, text in calls() if what in ERRORS | {"kind"}}
    assert len(raised) > 20
    assert sorted(raised - told) == []
    assert ERRORS - told == {"KisError"}


def test_hosted_tests_run_the_commands_of_the_readme() -> None:
    file = ROOT / ".github" / "workflows" / "test.yml"
    jobs = yaml.safe_load(file.read_text("utf-8"))["jobs"]
    job = jobs.pop("systems")
    matrix = job["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    run = [step["run"] for step in job["steps"] if "run" in step]
    assert run == [
        "pip install uv",
        "uv run just live --speed max --json",
        "uv run just check",
        "uv run just test",
    ]
    scripts = {
        name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()
    }
    assert scripts == {"all": [".ci/run"], "long": [".ci/long"]}
    readme = text_of(ROOT / "README.md")
    told = [line.removesuffix(" --speed max --json") for line in run if "check" not in line]
    assert all(line in readme for line in told)


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_both_readmes_lead_to_every_document(readme: str) -> None:
    others = [path for path in DOCUMENTS if not path.name.startswith("README")]
    links = set(re.findall(r"\]\(([^)#\s]+)", text_of(ROOT / readme)))
    assert [p for p in others if p.relative_to(ROOT).as_posix() not in links] == []


@each
def test_the_python_that_a_document_shows_imports_what_exists(document: Path) -> None:
    """Runs the imports and nothing else: an example may collect for a whole day."""
    for block in re.findall(r"^```python\n(.*?)^```", text_of(document), re.DOTALL | re.MULTILINE):
        tree = ast.parse(block)
        imports = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
        assert imports
        imports = [n for n in imports if not _is_optional(n)]
        exec(compile(ast.Module(imports, []), document.name, "exec"), {})  # noqa: S102 - our own text


def _is_optional(imported: ast.Import | ast.ImportFrom) -> bool:
    """Say whether Ray is imported, which the group `ray` brings, and is not here."""
    return ast.unparse(imported) == "import ray" and find_spec("ray") is None


def test_the_feed_that_the_document_builds_is_one_that_run_takes() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", text_of(ROOT / "docs" / "feed.md"), re.DOTALL)
    given: list[tuple[object, dict[str, object]]] = []

    def run(feed: object, **options: object) -> DayStatistics:
        signature(live.run).bind(feed, **options)
        given.append((feed, options))
        return DayStatistics(plan(Feed(), date(2026, 11, 26)), simulated=True)

    body = [n for n in ast.parse(block).body if not isinstance(n, ast.ImportFrom)]
    names = {"Path": Path, "run": run, "Simulation": live.Simulation, "print": lambda *_: None}
    code = compile(ast.Module(body, []), "feed.md", "exec")
    exec(code, names | {"DataFeedBuilder": DataFeedBuilder})  # noqa: S102 - our own text
    ((feed, options),) = given
    assert isinstance(feed, Feed)
    assert (len(feed.stocks), len(feed.futures), len(feed.option_chains)) == (1, 1, 1)
    assert isinstance(options["simulation"], live.Simulation)


@pytest.mark.parametrize("name", sorted(pictures.SOURCES))
def test_no_picture_is_older_than_the_code_that_draws_it(name: str) -> None:
    made = json.loads(pictures.HASHES.read_text("utf-8"))
    assert made[name] == pictures.digest(name), "make it again: `uv run just pictures`"
    shown = f"](docs/{name})"
    assert all(shown in text_of(ROOT / readme) for readme in ("README.md", "README.ko.md"))


def test_every_column_of_what_is_told_once_is_explained() -> None:
    section = text_of(ROOT / "docs" / "told-once.md").split("## Columns")[1].split("\n## ")[0]
    shared, _, table = section.partition("| table |")
    explained: dict[str, set[str]] = {}
    name = ""
    for row in re.findall(r"^\|(.*?)\|(.*?)\|", table, re.MULTILINE):
        own, columns = (re.findall(r"`([^`]+)`", cell) for cell in row)
        name = own[0] if own else name
        explained.setdefault(name, set()).update(columns)
    of_all = set(re.findall(r"`(\w+)`", shared))
    for stream in STREAMS.values():
        columns = {*TABLES[stream.table].schema.names} - of_all
        assert columns == explained[stream.table], stream.table
