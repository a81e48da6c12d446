"""Write the exact version of every package into pyproject.toml, and their hashes beside it.

A lock file would name the addresses that packages were downloaded from, and those differ from one
machine to the next. The versions are constraints for uv, which cannot carry hashes: those of every
file of every package, for all platforms, are in requirements.txt, for `--require-hashes`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import tomlkit

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
HASHES = PROJECT.with_name("requirements.txt")
HEADER = """\
# Written by `just lock`: the hashes of all packages, those of development too, on every platform.
# To install by them: pip install --require-hashes -r requirements.txt, then pip install --no-deps .
"""


def resolved(project: Path) -> str:
    """Return everything a fresh resolution chooses: `name==version ; marker`, and its hashes."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "pyproject.toml"
        document = tomlkit.parse(project.read_text(encoding="utf-8"))
        document["tool"]["uv"].pop("constraint-dependencies", None)  # type: ignore[union-attr,index]
        copy.write_text(tomlkit.dumps(document), encoding="utf-8")
        uv = shutil.which("uv") or "uv"
        command = [
            uv,
            "export",
            "--quiet",
            "--no-annotate",
            "--no-header",
            "--no-emit-project",
            "--all-groups",
            "--all-extras",
        ]
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, check=True, capture_output=True, text=True
        )
    return done.stdout


def versions_in(requirements: str) -> list[str]:
    """Return `name==version ; marker` of each package."""
    lines = (line.removesuffix("\\").strip() for line in requirements.splitlines())
    return [line for line in lines if "==" in line and not line.startswith("#")]


def main() -> None:
    """Replace `tool.uv.constraint-dependencies` and requirements.txt."""
    argparse.ArgumentParser(prog="just lock", description=__doc__).parse_args()
    requirements = resolved(PROJECT)
    document = tomlkit.parse(PROJECT.read_text(encoding="utf-8"))
    versions = tomlkit.array()
    versions.extend(versions_in(requirements))
    versions.multiline(multiline=True)
    document["tool"]["uv"]["constraint-dependencies"] = versions  # type: ignore[index]
    PROJECT.write_text(tomlkit.dumps(document), encoding="utf-8", newline="\n")
    HASHES.write_text(HEADER + requirements, encoding="utf-8", newline="\n")
    print(f"✅ {len(versions)} versions written")  # noqa: T201


if __name__ == "__main__":
    main()
