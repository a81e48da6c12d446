"""The house: what imports what. `just check` holds the layers, this the rest."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from keyword import iskeyword
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("engine", "strategies", "pipelines")
FOLDERS = [
    folder.relative_to(ROOT)
    for package in PACKAGES
    for folder in [ROOT / package, *(ROOT / package).rglob("*/")]
    if (folder / "__init__.py").exists()
]


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(file: Path) -> set[str]:
    """Return the modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if is_module(name) else node.module for name in names}
    return {name for name in found if name.partition(".")[0] in PACKAGES}


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


@cache
def imports() -> dict[str, set[str]]:
    """Return what each module imports: read by the worker that asks, not by all that list tests."""
    return {
        module_name(file): imports_of(file)
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
    }


def parts(folder: Path) -> dict[str, set[str]]:
    """Return what a folder's modules and subfolders, each taken whole, import of one another."""
    prefix = ".".join(folder.parts) + "."
    graph: dict[str, set[str]] = defaultdict(set)
    for module, imported in imports().items():
        if not module.startswith(prefix):  # so the folder's own __init__ is not one of its parts
            continue
        part = module.removeprefix(prefix).partition(".")[0]
        used = {n.removeprefix(prefix).partition(".")[0] for n in imported if n.startswith(prefix)}
        graph[part] |= used - {part}
    return graph


def test_the_graph_is_there() -> None:
    assert "fetchers" in parts(Path("engine"))
    assert {"kis", "market"} <= parts(Path("engine"))["fetchers"]
    assert len(FOLDERS) > 15


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_no_parts_of_a_folder_import_each_other_in_a_circle(folder: Path) -> None:
    try:
        TopologicalSorter(parts(folder)).prepare()
    except CycleError as error:
        pytest.fail(f"in {folder}: {' -> '.join(error.args[1])}")


def test_no_folders_of_different_parents_import_each_other_in_a_circle() -> None:
    """A folder and its subfolders may know each other (a registry); two wings may not."""
    graph = defaultdict(set)
    for module, imported in imports().items():
        graph[folder_of(module)] |= {folder_of(name) for name in imported}
    for one, others in graph.items():
        for other in others - {one}:
            related = f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
            assert related or one not in graph[other], f"{one} <-> {other}"


def folder_of(module: str) -> str:
    return module if ROOT.joinpath(*module.split(".")).is_dir() else module.rpartition(".")[0]


def test_the_contracts_name_every_part_of_the_engine() -> None:
    """A part that is added must be added there too."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    engine = {
        module for module in imports() if module.count(".") == 1 and module.startswith("engine.")
    }
    market, simulator = (
        next(c for c in contracts if c["name"].startswith(start))
        for start in ("the market", "the simulator")
    )
    assert set(market["forbidden_modules"]) == engine - {
        "engine.market",
        "engine.clock",
        "engine.errors",
        "engine.text",  # the errors show texts of others
    }
    assert set(simulator["source_modules"]) == engine - {"engine.simulator"}


def test_a_command_is_a_file_of_its_name_and_nothing_else_is_there() -> None:
    from pipelines.commands.overview import COMMANDS

    commands = {
        name.replace("-", "_") + "_" * iskeyword(name)
        for group in COMMANDS.values()
        for name in group
    }
    files = {file.stem for file in (ROOT / "pipelines" / "commands").glob("*.py")}
    assert files == commands | {"__init__", "main", "options", "overview"}
