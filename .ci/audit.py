"""Ask a database of advisories about every package that is installed here, and check the hashes.

pip-audit brings 15 packages of its own, so it is not part of the environment: uv runs it from its
cache or fetches it. Without a network there are no advisories; then the audit says loudly that it
was skipped, and does not fail: the other checks must not depend on a server of other people.

The hashes are checked by an install of everything in requirements.txt into a folder of its own: a
file that is not what `just lock` found is refused. (uv does not look at hashes in a dry run.)
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

PIP_AUDIT = "pip-audit==2.10.1"
HASHES = Path(__file__).resolve().parent.parent / "requirements.txt"
_MISMATCH = "Hash mismatch for"


def audit() -> tuple[list[dict[str, Any]] | None, str]:
    """Return the packages with their advisories (None if no server answered), and why not."""
    uv = shutil.which("uv") or "uv"
    command = [
        uv,
        "tool",
        "run",
        "--quiet",
        "--python",
        sys.executable,
        PIP_AUDIT,
        "--path",
        sysconfig.get_path("purelib"),
        "--skip-editable",
        "--progress-spinner",
        "off",
        "--timeout",
        "15",
        "--format",
        "json",
    ]
    try:
        done = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, text=True, timeout=300
        )
        return json.loads(done.stdout)["dependencies"], ""
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = done.stderr if isinstance(error, ValueError) else str(error)
        return None, reason.strip().splitlines()[-1] if reason.strip() else type(error).__name__


def check_hashes() -> int:
    """Install all packages by their hashes, into a folder that is removed; 1 if one differs."""
    uv = shutil.which("uv") or "uv"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            sys.executable,
            "--target",
            folder,
            "--no-deps",
            "--require-hashes",
            "--requirements",
            str(HASHES),
        ]
        try:
            done = subprocess.run(  # noqa: S603
                command, check=False, capture_output=True, text=True, timeout=1800
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"⚠️ SKIPPED, no hash was checked: {error}")  # noqa: T201
            return 0
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if _MISMATCH in done.stderr:
        found = next(line for line in lines if _MISMATCH in line)
        print(f"❌ {found[found.index(_MISMATCH) :]}: not the file that `just lock` found")  # noqa: T201
        return 1
    if done.returncode:
        why = lines[-1] if lines else f"uv ended with {done.returncode}"
        print(f"⚠️ SKIPPED, no hash was checked: {why}")  # noqa: T201
        return 0
    print("✅ every package has the hash that requirements.txt says")  # noqa: T201
    return 0


def main() -> int:
    """Print what is known against our packages, and whether they are ours; 1 if anything is."""
    argparse.ArgumentParser(prog="just audit", description=__doc__).parse_args()
    return max(check_advisories(), check_hashes())


def check_advisories() -> int:
    """Print what is known against our packages; 1 if anything is."""
    packages, why = audit()
    unknown = [package["name"] for package in packages or [] if "skip_reason" in package]
    asked = [package for package in packages or [] if "skip_reason" not in package]
    if not asked:
        why = why or f"no database of advisories answered for any of {len(unknown)} packages"
        print(f"⚠️ SKIPPED, nothing was audited: {why}")  # noqa: T201
        return 0
    found = [(package, known) for package in asked for known in package["vulns"]]
    for package, known in found:
        names = ", ".join([known["id"], *known["aliases"]])
        mended = ", ".join(known["fix_versions"]) or "no version yet"
        print(f"❌ {package['name']} {package['version']}: {names}; mended in {mended}")  # noqa: T201
    if unknown:
        print(f"⚠️ not known there: {', '.join(unknown)}")  # noqa: T201
    print(f"{'❌' if found else '✅'} {len(asked)} packages, {len(found)} advisories")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
