"""Write the exact version of every package into pyproject.toml, as constraints for uv.

A lock file would name the addresses that packages were downloaded from, and those differ from one
machine to the next. Versions alone are enough to repeat an install.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import tomlkit

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def resolved(project: Path) -> list[str]:
    """Return `name==version ; marker` of everything a fresh resolution chooses."""
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
            "--no-hashes",
            "--no-annotate",
            "--no-header",
            "--no-emit-project",
            "--all-groups",
            "--all-extras",
        ]
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, check=True, capture_output=True, text=True
        )
    return [line.strip() for line in done.stdout.splitlines() if "==" in line]


def main() -> None:
    """Replace `tool.uv.constraint-dependencies`."""
    document = tomlkit.parse(PROJECT.read_text(encoding="utf-8"))
    versions = tomlkit.array()
    versions.extend(resolved(PROJECT))
    versions.multiline(multiline=True)
    document["tool"]["uv"]["constraint-dependencies"] = versions  # type: ignore[index]
    PROJECT.write_text(tomlkit.dumps(document), encoding="utf-8", newline="\n")
    print(f"✅ {len(versions)} versions written")  # noqa: T201


if __name__ == "__main__":
    main()
