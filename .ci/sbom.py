"""Write what is installed here as a CycloneDX bill of materials: just sbom FILE.

cyclonedx-bom brings packages of its own, so it is not part of the environment: uv runs it from its
cache or fetches it. Names, versions, licences and what needs what are those of this environment;
the hashes of the packages' files stand in requirements.txt.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

CYCLONEDX = "cyclonedx-bom==7.5.0"
PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def make(file: Path) -> str:
    """Write the bill; return why it could not be written, or an empty text."""
    uv = shutil.which("uv") or "uv"
    command = [
        uv,
        "tool",
        "run",
        "--quiet",
        "--from",
        CYCLONEDX,
        "cyclonedx-py",
        "environment",
        "--pyproject",
        str(PROJECT),
        "--output-reproducible",
        "--output-format",
        "JSON",
        "--output-file",
        str(file),
        sys.executable,
    ]
    try:
        done = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, text=True, timeout=600
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return (said or [f"it ended with {done.returncode}"])[-1] if done.returncode else ""


def main() -> int:
    """Write the file that is named; 2 if none is, 1 if it cannot be made."""
    asked = argparse.ArgumentParser(prog="just sbom", description=__doc__)
    asked.add_argument("file", type=Path, metavar="FILE", help="where it is written, as JSON")
    file: Path = asked.parse_args().file
    if why := make(file):
        sys.stderr.write(f"❌ no bill of materials: {CYCLONEDX}: {why}\n")
        return 1
    bill = json.loads(file.read_text("utf-8"))
    components = bill["components"]
    print(f"✅ {len(components)} packages in {file}, CycloneDX {bill['specVersion']}")  # noqa: T201
    if silent := [one["name"] for one in components if not one.get("licenses")]:
        print(f"⚠️ without a licence there: {', '.join(silent)}; see just licences")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
