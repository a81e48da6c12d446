"""The research notebook: what is stored, a day, its options, and room for your own questions."""

import marimo

app = marimo.App(width="full", app_title="korea-realtime-trading: research")


@app.cell
def _():
    import datetime as dt

    import marimo as mo
    import polars as pl

    from engine import errors
    from pipelines import research
    from pipelines.looking import pictures
    from pipelines.looking.dashboard.cards import style
    from pipelines.research import questions, sources

    mo.Html(style())
    return dt, errors, mo, pictures, pl, questions, research, sources


@app.cell
def _(mo):
    mo.md("""
    # 연구 노트북

    `just live` 로 모은 데이터를 봅니다. 이 파일은 여러분의 사본이니 마음껏 고치세요.
    모든 시각은 KST, 봉의 시각은 **분의 끝**입니다. 프레임은 lazy 이고 열·조건·정렬은 Postgres 가
    처리합니다: `research.scan("futures_1m").filter(pl.col("symbol") == "A01612").explain()`.
    """)
    return


@app.cell
def _(errors, mo, questions, sources):
    url = sources.database_url()
    try:
        bars, trouble = questions.last_bars(url), ""
        newest = questions.newest_day(url)
    except errors.KrtError as error:
        trouble = str(error)
    mo.stop(bool(trouble), mo.md(f"⚠️ {trouble}"))
    return bars, newest, url


@app.cell
def _(errors, mo, pictures, sources, url):
    def show(what, **choice):
        """Draw a picture of the database, or say why there is none."""
        try:
            chosen = pictures.Choice(width=680, **choice)
            return pictures.draw(url, what, chosen, sources.credit())
        except errors.KrtError as error:
            return mo.md(f"⚠️ {error}")

    return (show,)


@app.cell
def _(bars, dt, mo, newest):
    symbols = bars.sort("table_name", "symbol")["symbol"].to_list()
    pick_day = mo.ui.date(value=newest, stop=newest, label="거래일")
    pick_symbol = mo.ui.dropdown(symbols, value=symbols[0], label="종목")
    minutes = [dt.time(m // 60, m % 60).isoformat("minutes") for m in range(530, 950, 5)]
    pick_minute = mo.ui.dropdown(minutes, value="15:35", label="스마일 시각")
    pick_metric = mo.ui.dropdown(
        ["iv", "model_iv", "delta", "gamma", "vega", "theta", "price", "volume", "open_interest"],
        value="iv",
        label="매트릭스 지표",
    )
    mo.hstack([pick_day, pick_symbol, pick_minute, pick_metric], justify="start", wrap=True)
    return pick_day, pick_metric, pick_minute, pick_symbol


@app.cell
def _(mo):
    mo.md("## 무엇이 있나: 종목 × 거래일")
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
def _(pick_day, pick_symbol, show):
    show("day", day=pick_day.value, symbol=pick_symbol.value)
    return


@app.cell
def _(mo):
    mo.md("## 옵션: 변동성 스마일과 기간 구조")
    return


@app.cell
def _(dt, pick_day, pick_minute, show):
    show("smile", day=pick_day.value, minute=dt.time.fromisoformat(pick_minute.value))
    return


@app.cell
def _(mo):
    mo.md("## 옵션 매트릭스의 하루")
    return


@app.cell
def _(pick_day, pick_metric, show):
    show("matrix", day=pick_day.value, metric=pick_metric.value)
    return


@app.cell
def _(mo):
    mo.md("## 맥스 페인과 감마 노출")
    return


@app.cell
def _(pick_day, show):
    show("summary", day=pick_day.value)
    return


@app.cell
def _(mo):
    mo.md("""
    ## 검증: 장부에 남은 것

    `just validate` 가 찾은 것은 장부에 남습니다: 열린 공백, 검증되지 않은 거래일, 정정된 거래일.
    """)
    return


@app.cell
def _(mo, questions, url):
    mo.ui.table(questions.findings(url), page_size=8, selection=None)
    return


@app.cell
def _(mo):
    mo.md("""
    ## 여러분의 질문

    15분봉 연속 선물(수정 가격)에 옵션 요약을 붙인 예입니다.
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
