"""What `just doctor` prints: a line for each check, and below it what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipelines.console import PlainConsole
from pipelines.doctor.finding import Finding
from pipelines.reports.standing import EXIT_CODES, State
from pipelines.reports.terminal import print_json

_SIGNS: dict[State, str] = {"well": "✅", "amiss": "❌", "unknown": "❔"}
_WIDEST = 120  # columns: longer lines are harder to read
_STYLES: dict[State, str] = {"well": "", "amiss": "bold red", "unknown": "yellow"}


def overall(findings: Sequence[Finding]) -> State:
    """Return amiss if anything is, else unknown if anything is, else well."""
    states = {finding.state for finding in findings}
    return "amiss" if "amiss" in states else "unknown" if "unknown" in states else "well"


def print_report(findings: Sequence[Finding], *, as_json: bool = False) -> None:
    """Print the findings, for people or as one line of JSON."""
    if as_json:
        state = overall(findings)
        rows = [vars(finding) for finding in findings]
        report = {"state": state, "exit_code": EXIT_CODES[state], "checks": rows}
        print_json(json.dumps(report, ensure_ascii=False))
        return
    console = PlainConsole()
    console.width = min(console.width, _WIDEST)
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        says = Text(finding.says)
        table.add_row(_SIGNS[finding.state], Text(finding.check, _STYLES[finding.state]), says)
        if finding.remedy and finding.state != "well":
            table.add_row("", "", Text(f"→ {finding.remedy}", "bold"))
    console.print(Group(table))  # its sentences are folded, in a file too; a table would not be
    console.print(_conclusion(findings))


def _conclusion(findings: Sequence[Finding]) -> str:
    named = {
        state: ", ".join(dict.fromkeys(f.check for f in findings if f.state == state))
        for state in _SIGNS
    }
    if overall(findings) == "well":
        return "✅ all is well"
    parts = [f"{words}: {named[s]}" for s, words in _WORDS.items() if named[s]]
    return f"{_SIGNS[overall(findings)]} {'; '.join(parts)}"


_WORDS: dict[State, str] = {"amiss": "amiss", "unknown": "not known"}
