"""marimo's command line, with our guard before its server: run as a module, arguments as marimo's.

marimo checks no Host, and lets any page open a WebSocket to a page without a token. It serves its
application with uvicorn; the application that uvicorn gets is ours, around marimo's.
"""

from __future__ import annotations

from typing import Any

import uvicorn
from marimo._cli.cli import main

from pipelines.reports.page_guard import guard_from_environment


class _GuardedConfig(uvicorn.Config):
    """A configuration whose application stands behind the guard."""

    def __init__(self, app: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(guard_from_environment(app), *arguments, **options)


if __name__ == "__main__":
    uvicorn.Config = _GuardedConfig  # type: ignore[misc]
    main(prog_name="marimo")
