"""The research notebook: a day in pictures, what is stored, and room for your own queries."""

import marimo

app = marimo.App(width="full", app_title="korea-realtime-trading: research")


@app.cell(hide_code=True)
def _():
    import datetime as dt

    import marimo as mo

    from engine import errors
    from pipelines.reports import pictures, queries
    from pipelines.reports.charts.matrix import metric_name
    from pipelines.reports.notebook_style import scalable, style
    from pipelines.research import sources, validation
    from strategies import registry

    t = sources.texts()
    mo.Html(style())
    return (
        dt,
        errors,
        metric_name,
        mo,
        pictures,
        queries,
        registry,
        scalable,
        sources,
        t,
        validation,
    )


@app.cell(hide_code=True)
def _(errors, mo, queries, sources):
    url = sources.database_url()
    try:
        bars, trouble = queries.last_bars(url), ""
        newest, shown_day = queries.newest_day(url), queries.newest_whole_day(url)
    except errors.KrtError as error:
        trouble = str(error)
    mo.stop(bool(trouble), mo.md(f"⚠️ {trouble}"))
    return bars, newest, shown_day, url


@app.cell(hide_code=True)
def _(bars, dt, metric_name, mo, newest, registry, shown_day, t):
    _symbols = {t.name_of(code): code for code in bars.sort("table_name", "symbol")["symbol"]}
    pick_day = mo.ui.date(value=shown_day, stop=newest, label=t("notebook_day"))
    pick_symbol = mo.ui.dropdown(_symbols, value=next(iter(_symbols)), label=t("notebook_symbol"))
    pick_strategy = mo.ui.dropdown(
        list(registry.STRATEGIES), value=registry.DEFAULT_STRATEGY, label=t("notebook_strategy")
    )
    _minutes = [dt.time(m // 60, m % 60).isoformat("minutes") for m in range(530, 950, 5)]
    pick_minute = mo.ui.dropdown(_minutes, value="15:35", label=t("notebook_minute"))
    _codes = ["iv", "model_iv", "delta", "gamma", "vega", "theta", "price", "volume"]
    _metrics = {metric_name(t, code): code for code in [*_codes, "open_interest"]}
    pick_metric = mo.ui.dropdown(_metrics, value=next(iter(_metrics)), label=t("notebook_metric"))
    _picks = [pick_day, pick_symbol, pick_strategy, pick_minute, pick_metric]
    mo.Html(f'<div class="krt-controls">{mo.hstack(_picks, justify="start", wrap=True)}</div>')
    return pick_day, pick_metric, pick_minute, pick_strategy, pick_symbol


@app.cell(hide_code=True)
def _(errors, mo, pictures, scalable, sources, t, url):
    def show(what, **choice):
        """Draw a picture of what is stored, or say why that is not possible."""
        try:
            chosen = pictures.Choice(width=980, now=sources.present(), **choice)
            return scalable(pictures.draw(url, what, chosen, t, sources.default_kind()))
        except errors.KrtError as error:
            return mo.md(f"⚠️ {error}")

    return (show,)


@app.cell(hide_code=True)
def _(pick_day, pick_strategy, pick_symbol, show):
    show("day", day=pick_day.value, symbol=pick_symbol.value, strategy=pick_strategy.value)
    return


@app.cell(hide_code=True)
def _(dt, pick_day, pick_minute, show):
    show("smile", day=pick_day.value, minute=dt.time.fromisoformat(pick_minute.value))
    return


@app.cell(hide_code=True)
def _(pick_day, pick_metric, show):
    show("matrix", day=pick_day.value, metric=pick_metric.value)
    return


@app.cell(hide_code=True)
def _(pick_day, show):
    show("summary", day=pick_day.value)
    return


@app.cell(hide_code=True)
def _(mo, t):
    mo.md(t("notebook_flows"))
    return


@app.cell(hide_code=True)
def _(pick_day, show):
    show("flows", day=pick_day.value)
    return


@app.cell(hide_code=True)
def _(pick_day, show):
    show("coverage", day=pick_day.value)
    return


@app.cell(hide_code=True)
def _(mo, t, validation):
    pick_count = mo.ui.slider(
        1, 20, value=validation.SESSIONS, label=t("notebook_sessions"), show_value=True
    )
    mo.vstack([mo.md(t("notebook_checks")), pick_count])
    return (pick_count,)


@app.cell(hide_code=True)
def _(errors, mo, pick_count, pick_day, sources, url, validation):
    _simulated = sources.default_kind() == "simulation"
    try:
        checked = validation.check(url, pick_day.value, pick_count.value, simulated=_simulated)
        not_checked = ""
    except errors.KrtError as error:
        not_checked = str(error)
    mo.stop(bool(not_checked), mo.md(f"⚠️ {not_checked}"))
    return (checked,)


@app.cell(hide_code=True)
def _(checked, mo, t, validation):
    _detail = t("column_detail")
    _counts = {"targets": checked.targets.height, "checks": len(checked.checks)}
    if checked.findings.is_empty():
        _shown = mo.md(t("notebook_clean", **_counts))
    else:
        _found = validation.in_words(checked.readable(), t)
        _table = mo.ui.table(_found, page_size=10, selection=None, wrapped_columns=[_detail])
        _meanings = [
            f"- `{name}`: {text}" for name, text in validation.meanings(checked, t).items()
        ]
        _head = mo.md(t("notebook_found", count=checked.findings.height, **_counts))
        _shown = mo.vstack([_head, _table, mo.md("\n".join(_meanings))])
    _shown
    return


@app.cell(hide_code=True)
def _(mo, queries, t, url, validation):
    _left = validation.in_words(queries.findings(url), t)
    _detail = t("column_detail")
    _table = mo.ui.table(_left, page_size=8, selection=None, wrapped_columns=[_detail])
    mo.vstack([mo.md(t("notebook_left")), _table if _left.height else mo.md(t("notebook_nothing"))])
    return


@app.cell(hide_code=True)
def _(mo, t):
    mo.md(f"{t('notebook_own')}\n\n{t('notebook_times')}")
    return


@app.cell
def _(mo, url):
    from pipelines.research import pl, resample, scan_bars, scan_summary, with_summary

    _front = scan_bars("A01", adjusted=True, url=url)
    _quarters = with_summary(resample(_front, 15), scan_summary(url=url))
    _change = (pl.col("close").log().diff() * 100).round(3).alias("change_percent")
    _columns = ["timestamp", "symbol", "close", "volume", "atm_volatility", "max_pain", _change]
    mo.ui.table(_quarters.select(_columns).tail(40).collect(), page_size=10, selection=None)
    return


if __name__ == "__main__":
    app.run()
