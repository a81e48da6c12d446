"""The tools of `.ci/`, which are not a package, as modules."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.paths import ROOT


def ci_tool(name: str) -> ModuleType:
    """Import `.ci/NAME.py` anew."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
