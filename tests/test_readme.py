"""The front door: what the README says is so, in both languages."""

import ast
import json
import logging
import math
import re
import subprocess
import sysconfig
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from engine.log import setup_logging
from engine.schemas import METRICS
from engine.settings import Settings, load_settings
from pipelines.commands.overview import COMMANDS
from pipelines.simulation import start_clock
from tests.paths import ROOT

ENGLISH, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
both = pytest.mark.parametrize("readme", [ENGLISH, KOREAN], ids=["en", "ko"])


GROUPS = {"run", "history", "research", "database", "development"}


def dumped_recipes() -> dict[str, Any]:
    just = Path(sysconfig.get_path("scripts")) / "just"
    dump = subprocess.run(
        [just, "--dump", "--dump-format", "json"], cwd=ROOT, check=True, capture_output=True
    )
    found = json.loads(dump.stdout)["recipes"]
    return {name: recipe for name, recipe in found.items() if not recipe["private"]}


def recipes() -> dict[str, str]:
    return {name: recipe["doc"] for name, recipe in dumped_recipes().items()}


def blocks(readme: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)


def listed(readme: Path) -> dict[str, str]:
    text = readme.read_text("utf-8")
    part = text.split("<!-- recipes -->")[1].split("<!-- /recipes -->")[0]
    return dict(re.findall(r"^\| `just ([\w-]+)` \| (.+?) \|$", part, re.MULTILINE))


def test_every_recipe_stands_in_the_readme_as_just_tells_it():
    assert listed(ENGLISH) == recipes()


def test_every_recipe_is_in_a_group():
    found = {
        name: [part["group"] for part in recipe["attributes"] if "group" in part]
        for name, recipe in dumped_recipes().items()
    }
    assert [name for name, groups in found.items() if len(groups) != 1] == []
    assert {group for (group,) in found.values()} == GROUPS


def test_the_help_of_krt_groups_and_describes_commands_as_just_does():
    found: dict[str, dict[str, str]] = {}
    for name, recipe in dumped_recipes().items():
        (group,) = (part["group"] for part in recipe["attributes"] if "group" in part)
        found.setdefault(group.capitalize(), {})[name] = recipe["doc"]
    del found["Development"]
    assert found == COMMANDS


def test_every_recipe_hands_options_on_so_that_it_can_be_asked_for_help():
    for name, recipe in dumped_recipes().items():
        (line,) = recipe["body"]
        assert [one["kind"] for one in recipe["parameters"]] == ["star"], name
        assert line[-1].endswith('"$@"'), name


@pytest.mark.parametrize("recipe", ["check", "lock", "audit", "licences", "pictures", "sbom"])
def test_a_recipe_of_development_tells_what_it_does(recipe: str):
    done = subprocess.run(
        ["just", recipe, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"usage: just {recipe} [-h]")


def test_the_korean_readme_lists_the_same_recipes():
    assert list(listed(KOREAN)) == list(listed(ENGLISH))


@both
def test_ci_runs_the_commands_of_the_readme(readme):
    commands = [line for block in blocks(readme, "sh") for line in block.splitlines() if line]
    assert commands == ["pip install uv", "uv run just live", "uv run just test"]
    ci = (ROOT / ".ci" / "run").read_text()
    assert "pip install --quiet uv" in ci
    for command in commands[1:]:
        *run, recipe = command.split()
        assert re.search(rf"^{' '.join(run)} .*\b{recipe}\b", ci, re.MULTILINE), command


@both
def test_every_file_it_names_is_there(readme):
    named = re.findall(
        r"`((?:engine|pipelines|strategies|sql)/[\w/]*(?:\.\w+)?)`", readme.read_text("utf-8")
    )
    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).exists()] == []


@both
def test_every_link_to_a_file_leads_somewhere(readme):
    links = re.findall(r"\]\((?!http)([^)#]+)\)", readme.read_text("utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


@both
def test_the_configuration_files_it_shows_are_taken(readme, tmp_path, monkeypatch):
    for name in ("KRT_DATABASE_URL", "KRT_APP_KEY"):
        monkeypatch.delenv(name, raising=False)
    config, database = blocks(readme, "json")
    (tmp_path / "config.json").write_text(config, "utf-8")
    (tmp_path / "db_config.json").write_text(database, "utf-8")
    settings = load_settings(tmp_path)
    assert settings.has_credentials
    assert settings.database.url is not None


@both
def test_every_key_of_the_configuration_is_explained(readme):
    text = readme.read_text("utf-8")
    keys = set(Settings.model_fields) - {"database"}  # db_config.json
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_the_python_it_shows_collects_a_day(database_url, tmp_path, monkeypatch, capsys):
    """The day of `just live`, begun at 15:38 and as fast as it goes."""
    (block,) = blocks(ENGLISH, "python")
    assert blocks(KOREAN, "python") == [block]
    for name in ("KRT_APP_KEY", "KRT_APP_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "pipelines.day.live.start_clock",
        lambda simulated, _speed, _start: start_clock(simulated, math.inf, time(15, 38)),
    )
    names: dict[str, Any] = {}
    try:
        exec(compile(ast.parse(block), "README.md", "exec"), names)  # noqa: S102 - our own text
    finally:
        setup_logging(handler=logging.NullHandler())
    assert not names["day"].interrupted  # it began late: the chain lacks what was before
    collected = names["day"].as_json()
    assert str(collected) in capsys.readouterr().out
    assert (collected["simulated"], collected["bars"]) == (True, 411 + 381)
    assert collected["snapshots"] > 5


def test_both_say_the_same_structure():
    english, korean = (
        [
            (len(line) - len(line.lstrip("#")))
            for line in path.read_text("utf-8").splitlines()
            if line.startswith("#")
        ]
        for path in (ENGLISH, KOREAN)
    )
    assert english == korean


def test_the_metrics_it_names_exist():
    assert {"iv", "delta", "gamma", "vega", "theta", "rho", "price", "volume"} <= set(METRICS)
