"""`just research`: the notebook on the history."""

from __future__ import annotations

from pathlib import Path

from engine.errors import InputError
from engine.files import DATA_FOLDER_MODE, make_folder, write_atomically
from engine.log import setup_logging
from engine.settings import load_settings
from pipelines.commands.options import DatabaseOption, Names, Port, require_free_port
from pipelines.databases import data_kind, open_reader
from pipelines.reports.marimo_server import RUN_AT_ONCE, require_marimo, serve_page

NOTEBOOK = Path(__file__).parent.parent / "research" / "notebook.py"


def research(
    *,
    notebook: Path | None = None,
    host: str = "127.0.0.1",
    port: Port = 2719,
    allow_host: Names = (),
    headless: bool = False,
    database: DatabaseOption = None,
) -> int:
    """Open the research notebook in the browser, until Ctrl+C; a copy that is yours to change.

    Parameters
    ----------
    notebook
        where your copy is; by default notebook.py beside the database
    host
        the address to listen on; the token lets its owner run any code here
    port
        the port to listen on
    allow_host
        a further name by which you reach the notebook, a proxy's; may be repeated
    headless
        do not open a browser
    """
    require_marimo()
    require_free_port(host, port)
    setup_logging()
    settings = load_settings()
    kind = data_kind(settings, database)
    copy = notebook or settings.folder(kind) / "notebook.py"
    if copy.exists() and not copy.is_file():
        raise InputError(f"--notebook {copy} is not a file: name a notebook.py")
    if not copy.exists():
        make_folder(copy.parent, DATA_FOLDER_MODE)
        write_atomically(copy, NOTEBOOK.read_bytes(), private=True)
    with open_reader(kind, settings=settings) as opened:
        return serve_page(
            copy,
            opened,
            host,
            port,
            guarded=True,
            variables=RUN_AT_ONCE,
            allowed=allow_host,
            browse=not headless,
        )
