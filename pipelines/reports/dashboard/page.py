"""The page of `just dashboard`: a marimo app, run once for each viewer."""

import marimo

app = marimo.App(width="full", app_title="korea-realtime-trading")


@app.cell
def _():
    import os

    import marimo as mo

    from pipelines.reports.dashboard.cards import style
    from pipelines.reports.dashboard.shared import shared_viewer
    from pipelines.reports.environment import REFRESH_PERIOD

    refresh_period = os.environ.get(REFRESH_PERIOD, "5s")
    return mo, refresh_period, shared_viewer, style


@app.cell
def _(mo, style):
    mo.Html(style())
    return


@app.cell
def _(shared_viewer):
    viewer = shared_viewer()
    return (viewer,)


@app.cell
def _(mo, refresh_period):
    refresh = mo.ui.refresh(
        options=sorted({"2s", "5s", "15s", "60s", refresh_period}),
        default_interval=refresh_period,
    )
    refresh
    return (refresh,)


@app.cell
def _(refresh, viewer):
    refresh.value  # reading it makes this cell run again at every tick
    content = viewer.read()
    return (content,)


@app.cell
def _(mo, content):
    mo.Html(content.top())
    return


@app.cell
def _(mo, content):
    mo.vstack(content.prices())
    return


@app.cell
def _(mo, content):
    content.matrix() or mo.md("")
    return


@app.cell
def _(mo, content):
    mo.Html(content.bottom())
    return


if __name__ == "__main__":
    app.run()
