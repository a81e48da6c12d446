"""The research notebook: what is stored, a day, its options, and room for your own queries."""

import marimo

app = marimo.App(width="full", app_title="korea-realtime-trading: research")


@app.cell
def _():
    import datetime as dt

    import marimo as mo
    import polars as pl

    from engine import errors
    from pipelines import research
    from pipelines.reports import pictures, queries
    from pipelines.reports.notebook_style import style
    from pipelines.research import sources, validation
    from strategies import registry

    # marimo hides what is higher than 610 pixels behind a scroll bar: the last panel of pictures.
    mo.Html(style() + "<style>.output-area { max-height: none !important }</style>")
    return dt, errors, mo, pictures, pl, queries, registry, research, sources, validation


@app.cell
def _(mo):
    mo.md("""
    # 연구 노트북

    `just live`로 모은 데이터를 살펴보는 노트북입니다. 이 파일은 여러분의 사본이니 마음껏
    고쳐도 됩니다. 모든 시각은 KST이고, 봉의 시각은 **그 1분이 끝나는 시각**입니다. 프레임은
    lazy이며 열 선택, 조건, 정렬은 Postgres가 처리합니다:
    `research.scan("futures_1m").filter(pl.col("symbol") == "A01612").explain()`.
    """)
    return


@app.cell
def _(errors, mo, queries, sources):
    url = sources.database_url()
    try:
        bars, trouble = queries.last_bars(url), ""
        newest = queries.newest_day(url)
    except errors.KrtError as error:
        trouble = str(error)
    mo.stop(bool(trouble), mo.md(f"⚠️ {trouble}"))
    return bars, newest, url


@app.cell
def _(errors, mo, pictures, sources, url):
    def show(what, **choice):
        """Draw a picture of what is stored, or say why that is not possible."""
        try:
            chosen = pictures.Choice(width=680, now=sources.present(), **choice)
            kind = sources.default_kind()
            return pictures.draw(url, what, chosen, sources.texts(), kind)
        except errors.KrtError as error:
            return mo.md(f"⚠️ {error}")

    return (show,)


@app.cell
def _(bars, dt, mo, newest, registry):
    symbols = bars.sort("table_name", "symbol")["symbol"].to_list()
    pick_day = mo.ui.date(value=newest, stop=newest, label="거래일")
    pick_symbol = mo.ui.dropdown(symbols, value=symbols[0], label="종목")
    pick_strategy = mo.ui.dropdown(
        list(registry.STRATEGIES), value=registry.DEFAULT_STRATEGY, label="전략"
    )
    minutes = [dt.time(m // 60, m % 60).isoformat("minutes") for m in range(530, 950, 5)]
    pick_minute = mo.ui.dropdown(minutes, value="15:35", label="스마일 시각")
    pick_metric = mo.ui.dropdown(
        ["iv", "model_iv", "delta", "gamma", "vega", "theta", "price", "volume", "open_interest"],
        value="iv",
        label="매트릭스 지표",
    )
    mo.hstack(
        [pick_day, pick_symbol, pick_strategy, pick_minute, pick_metric], justify="start", wrap=True
    )
    return pick_day, pick_metric, pick_minute, pick_strategy, pick_symbol


@app.cell
def _(mo):
    mo.md("## 저장 현황: 종목 × 거래일")
    return


@app.cell
def _(pick_day, show):
    show("coverage", day=pick_day.value)
    return


@app.cell
def _(mo):
    mo.md("## 하루: 분봉, VWAP, 밴드, 신호")
    return


@app.cell
def _(pick_day, pick_strategy, pick_symbol, show):
    show("day", day=pick_day.value, symbol=pick_symbol.value, strategy=pick_strategy.value)
    return


@app.cell
def _(mo):
    mo.md("""
    ## 선물: 외국인 순매수, 미결제약정, 베이시스

    KIS가 그 순간에만 알려 주는 값입니다. `config.json`의 `collect`에 `flows`를 넣으면 매분
    모읍니다.
    """)
    return


@app.cell
def _(pick_day, show):
    show("flows", day=pick_day.value)
    return


@app.cell
def _(mo):
    mo.md("## 옵션: 변동성 스마일과 기간구조")
    return


@app.cell
def _(dt, pick_day, pick_minute, show):
    show("smile", day=pick_day.value, minute=dt.time.fromisoformat(pick_minute.value))
    return


@app.cell
def _(mo):
    mo.md("## 하루 동안의 옵션 매트릭스")
    return


@app.cell
def _(pick_day, pick_metric, show):
    show("matrix", day=pick_day.value, metric=pick_metric.value)
    return


@app.cell
def _(mo):
    mo.md("## 맥스페인과 감마 익스포저")
    return


@app.cell
def _(pick_day, show):
    show("summary", day=pick_day.value)
    return


@app.cell
def _(mo):
    mo.md("""
    ## 검증

    고른 날짜까지 장이 끝난 거래일을 `just validate`와 같은 검사로 점검합니다. 데이터베이스에는
    아무것도 쓰지 않습니다. 고치고 누락 장부에 기록하려면 `just validate --fix`를 실행하세요.
    """)
    return


@app.cell
def _(mo, validation):
    pick_count = mo.ui.slider(1, 20, value=validation.SESSIONS, label="거래일 수", show_value=True)
    pick_count
    return (pick_count,)


@app.cell
def _(errors, mo, pick_count, pick_day, sources, url, validation):
    _simulated = sources.default_kind() == "simulation"
    try:
        checked = validation.check(url, pick_day.value, pick_count.value, simulated=_simulated)
        not_checked = ""
    except errors.KrtError as error:
        not_checked = str(error)
    mo.stop(bool(not_checked), mo.md(f"⚠️ {not_checked}"))
    return (checked,)


@app.cell
def _(checked, mo):
    _scope = f"종목·거래일 {checked.targets.height}개, 검사 {len(checked.checks)}가지"
    _meanings = "\n".join(f"- `{name}`: {text}" for name, text in checked.explanations().items())
    if checked.findings.is_empty():
        _shown = mo.md(f"✅ 이상 없음 ({_scope})")
    else:
        _table = mo.ui.table(checked.readable(), page_size=10, selection=None)
        _head = mo.md(f"⚠️ 점검 결과 {checked.findings.height}건 ({_scope})")
        _shown = mo.vstack([_head, _table, mo.md(_meanings)])
    _shown
    return


@app.cell
def _(mo):
    mo.md("### 남은 일: 미해결 누락 구간, `just validate`를 통과하지 않은 거래일, 정정된 거래일")
    return


@app.cell
def _(mo, queries, url):
    _left = queries.findings(url)
    mo.ui.table(_left, page_size=8, selection=None) if _left.height else mo.md("✅ 없음")
    return


@app.cell
def _(mo):
    mo.md("""
    ## 여러분의 질문

    최근월물을 이은 연속 선물(수정 가격)의 15분봉에 옵션 요약을 붙인 예입니다.
    """)
    return


@app.cell
def _(mo, pl, research):
    _front = research.front_series(research.scan("futures_1m"), "A01", adjusted=True)
    _quarters = research.with_summary(research.resample(_front, 15), research.scan_summary())
    _change = (pl.col("close").log().diff() * 100).round(3).alias("change_percent")
    _columns = ["timestamp", "symbol", "close", "volume", "atm_volatility", "max_pain", _change]
    mo.ui.table(_quarters.select(_columns).tail(40).collect(), page_size=10, selection=None)
    return


if __name__ == "__main__":
    app.run()
