"""What `--help` says: each command in a sentence, and each of its parameters."""

import shlex
from importlib import metadata

import pytest

from pipelines.commands.main import commands, main
from pipelines.commands.overview import COMMANDS as GROUPS
from pipelines.commands.overview import EXAMPLES

COMMANDS = [name for group in GROUPS.values() for name in group]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_is_explained(name):
    app = commands(described=False)
    arguments = app[name].assemble_argument_collection(parse_docstring=True)
    assert [argument.name for argument in arguments if not argument.parameter.help] == []
    assert app[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_that_it_takes(name, capsys):
    for example in EXAMPLES[name]:
        just, *given = shlex.split(example)
        assert (just, given[0]) == ("just", name)
        commands(described=False).parse_args(given, exit_on_error=False, print_error=False)
    assert main([name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert [example for example in EXAMPLES[name] if example not in shown] == []


def test_the_help_shows_all_commands_in_groups(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [word for word in [*GROUPS, *COMMANDS] if f" {word} " not in shown] == []


def test_the_shell_completes_commands_and_options():
    script = commands(described=True).generate_completion(shell="bash")  # noqa: S604 - names a shell, starts none
    assert "--recorded" in script
    assert [name for name in COMMANDS if name not in script] == []


def test_the_version_is_the_packages(capsys):
    main(["--version"])
    assert capsys.readouterr().out.strip() == metadata.version("korea-realtime-trading")
