"""List the licence of every package that is installed here; exit code 1 if one says none.

The packages that a user's installation has come first, then those of development. The names are as
the packages say them: an SPDX expression where there is one, else their own words.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "korea-realtime-trading"
_LONGEST = 60  # a whole text of a licence in the field is cut


def licence(package: Distribution) -> str:
    """Return the licence of a package; empty if it says none."""
    told = package.metadata
    expression = told.get("License-Expression")
    classes = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier", [])
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    words = " ".join((told.get("License") or "").split())
    found = expression or ", ".join(classes) or words
    return "" if found == "UNKNOWN" else found[:_LONGEST]


def needed(name: str) -> set[str]:
    """Return the names of all packages that this one needs here, itself included."""
    found: set[str] = set()
    waiting = [(canonicalize_name(name), frozenset[str]())]
    seen = set(waiting)
    while waiting:
        current, extras = waiting.pop()
        try:
            requires = distribution(current).requires or []
        except ModuleNotFoundError:  # of an extra that is not installed, or of another system
            continue
        found.add(current)
        for one in map(Requirement, requires):
            if any(_wanted(one, extra) for extra in (*extras, "")):
                following = canonicalize_name(one.name), frozenset(one.extras)
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
    return found


def _wanted(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def table() -> Iterator[tuple[str, str, str, str]]:
    """Yield whose it is (`ours`: an installation has it), name, version, licence."""
    ours = needed(PROJECT)
    named = {canonicalize_name(one.metadata["Name"]): one for one in distributions()}
    for name in sorted(named, key=lambda name: (name not in ours, name)):
        if name != PROJECT:
            package = named[name]
            yield ("ours" if name in ours else "dev"), name, package.version, licence(package)


def main() -> int:
    """Print the table; 1 if a package says no licence."""
    argparse.ArgumentParser(prog="just licences", description=__doc__).parse_args()
    rows = list(table())
    silent = [name for _, name, _, said in rows if not said]
    for whose, name, version, said in rows:
        print(f"{whose:5}{name:34}{version:14}{said or '❌ says none'}")  # noqa: T201
    of_ours = sum(whose == "ours" for whose, *_ in rows)
    print(f"{'❌' if silent else '✅'} {of_ours} packages of an installation, {len(rows)} in all")  # noqa: T201
    bound = [f"{name} ({said})" for w, name, _, said in rows if w == "ours" and _is_copyleft(said)]
    if bound:
        print(f"⚠️ with conditions for whoever passes them on: {', '.join(bound)}")  # noqa: T201
    return 1 if silent else 0


def _is_copyleft(said: str) -> bool:
    return re.search(r"GPL|General Public|MPL|Mozilla", said) is not None


if __name__ == "__main__":
    sys.exit(main())
