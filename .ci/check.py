"""Check style, types and the direction of imports: ruff, import-linter and mypy, all of them.

A check that finds something does not keep the others from looking, so that one run tells it all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("lint-imports",),
    ("mypy",),
)


def main() -> int:
    """Run every check; 1 if one of them finds something."""
    argparse.ArgumentParser(prog="just check", description=__doc__).parse_args()
    found = [" ".join(check) for check in CHECKS if subprocess.run(check, check=False).returncode]  # noqa: S603
    if found:
        print(f"❌ {', '.join(found)}")  # noqa: T201
        return 1
    print(f"✅ {len(CHECKS)} checks found nothing")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
