"""The page of `krt dashboard`: a marimo app, run once for each viewer."""

import marimo

app = marimo.App(width="full", app_title="korea-realtime-trading")


@app.cell
def _():
    import os

    import marimo as mo

    from pipelines.reports.dashboard.cards import style
    from pipelines.reports.dashboard.content import desk

    return desk, mo, os, style


@app.cell
def _(mo, style):
    mo.Html(style())
    return


@app.cell
def _(desk):
    viewer = desk()
    return (viewer,)


@app.cell
def _(mo, os):
    every = os.environ.get("KRT_DASHBOARD_REFRESH", "5s")
    refresh = mo.ui.refresh(
        options=sorted({"2s", "5s", "15s", "60s", every}), default_interval=every
    )
    refresh
    return (refresh,)


@app.cell
def _(refresh, viewer):
    refresh.value  # a tick of the refresh makes this cell run again
    seen = viewer.look()
    return (seen,)


@app.cell
def _(mo, seen):
    mo.Html(seen.top())
    return


@app.cell
def _(mo, seen):
    seen.price() or mo.md("")
    return


@app.cell
def _(mo, seen):
    seen.matrix() or mo.md("")
    return


@app.cell
def _(mo, seen):
    mo.Html(seen.bottom())
    return


if __name__ == "__main__":
    app.run()
