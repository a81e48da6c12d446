"""Folders for what is nobody else's business: tokens, spooled bars, logs, notebooks."""

from __future__ import annotations

import os
from pathlib import Path


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner can enter; close one of ours that stood open.

    On Windows a folder is as private as the user's own that it lies in. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.name != "nt" and folder.stat().st_mode & 0o077 and folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)
    return folder
