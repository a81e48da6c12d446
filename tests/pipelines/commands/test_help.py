"""What `--help` says: each command in a sentence, and each of its parameters."""

from importlib import metadata

import pytest

from pipelines.commands.main import app

COMMANDS = [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_is_explained(name):
    arguments = app[name].assemble_argument_collection(parse_docstring=True)
    assert [argument.name for argument in arguments if not argument.parameter.help] == []
    assert app[name].help


def test_no_command_is_left_out():
    assert {"live", "sql", "validate", "backtest", "db-roles"} <= set(COMMANDS)


def test_the_version_is_the_packages(capsys):
    app(["--version"], result_action="return_value")
    assert capsys.readouterr().out.strip() == metadata.version("korea-realtime-trading")
