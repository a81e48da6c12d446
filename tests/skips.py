"""What was skipped, by reason; in .ci/run also counted against a list: another skip fails the run.

A skip that nobody expects is a test that no longer runs without anybody noticing.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.paths import ABSENT

ANY = "any"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the list."""
    parser.addoption(
        "--expected-skips",
        type=Path,
        action="append",
        metavar="FILE",
        help="fail if more tests are skipped than the files allow: a line says how many (`any`),"
        " then the reason, in which `*` stands for anything",
    )


def read_expected(text: str) -> dict[str, float]:
    """Return how many tests may be skipped for each reason."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    counted = (line.split(maxsplit=1) for line in lines)
    return {
        reason.strip(): float("inf") if count == ANY else int(count) for count, reason in counted
    }


def unexpected(skips: Counter[str], expected: dict[str, float]) -> list[str]:
    """Return a line for each reason that has more skips than expected; a reason counts once."""
    found: Counter[str] = Counter()
    for reason, count in skips.items():
        known = next((pattern for pattern in expected if fnmatchcase(reason, pattern)), reason)
        found[known] += count
    return [
        f"{count} skipped, {expected.get(reason, 0):g} expected: {reason}"
        for reason, count in found.items()
        if count > expected.get(reason, 0)
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if there are skips that nobody expects."""
    found = _unexpected(session.config)
    if found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many were skipped for which reason, and what can be done where data are absent."""
    skips = _skips(config)
    for reason, count in skips.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")
    if any(ABSENT in reason for reason in skips):
        terminalreporter.write_line(
            "market data may not be distributed: KRT_SHARED_FOLDER=FOLDER names the folder that"
            " holds data/ and kis-samples/"
        )
    for line in _unexpected(config):
        terminalreporter.write_line(f"❌ {line}", red=True)


def _skips(config: pytest.Config) -> Counter[str]:
    """Count the skips of this run by reason: one of ours is in a report as (file, line, reason)."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    texts = (r.longrepr[2] if isinstance(r.longrepr, tuple) else str(r.longrepr) for r in reports)
    return Counter(text.removeprefix("Skipped: ") for text in texts)


def _unexpected(config: pytest.Config) -> list[str]:
    files: list[Path] | None = config.getoption("--expected-skips")
    if files is None or hasattr(config, "workerinput"):
        return []
    lists = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return unexpected(_skips(config), read_expected(lists))
