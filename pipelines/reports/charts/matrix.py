"""The option matrix: through the day as a heat map, and at one minute as a ladder."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipelines.reports.charts.style import WIDTH, Picture, Width

_SIDES = {"C": "콜", "P": "풋"}
_METRIC_NAMES = {
    "iv": "내재변동성 (연 %)",
    "delta": "델타",
    "gamma": "감마 (지수 포인트당)",
    "vega": "베가 (포인트/변동성 1%p)",
    "theta": "세타 (포인트/일)",
    "rho": "로 (포인트/금리 1%p)",
    "price": "체결가 (지수 포인트)",
    "volume": "거래량 (계약)",
    "open_interest": "미결제약정 (계약)",
}


def metric_name(metric: str) -> str:
    """Return a metric's Korean name with its unit; `model_…` are our own calculations."""
    name = _METRIC_NAMES.get(metric.removeprefix("model_"), metric)
    return f"{name}, 자체 계산" if metric.startswith("model_") else name


def matrix_chart(
    cells: pl.DataFrame, metric: str, *, every: int = 5, width: Width = WIDTH
) -> Picture:
    """Draw one metric of a chain's matrix: time across, strikes around ATM, calls above puts.

    `cells`: timestamp, option_type, step, value, as `long_matrix` gives them. Every `every`-th
    minute is drawn. A cell without a value is left white.
    """
    minute = pl.col("timestamp").dt.minute()
    drawn = cells.filter(minute % every == 0, pl.col("value").is_finite()).with_columns(
        pl.col("option_type").replace_strict(_SIDES, return_dtype=pl.String).alias("side"),
        pl.col("timestamp").dt.offset_by(f"{every}m").alias("until"),
    )
    tooltip = [
        alt.Tooltip("timestamp:T", title="시각", format="%H:%M"),
        alt.Tooltip("step:Q", title="행사가 단계"),
        alt.Tooltip("value:Q", title=metric_name(metric), format=".4~g"),
    ]
    rows = [
        _side(drawn.filter(pl.col("side") == side), side, width, metric, tooltip)
        for side in _SIDES.values()
    ]
    return alt.vconcat(*rows, spacing=14).resolve_scale(color="shared", x="shared")


def _side(
    cells: pl.DataFrame, side: str, width: Width, metric: str, tooltip: list[alt.Tooltip]
) -> Picture:
    legend = alt.Legend(
        title=metric_name(metric),
        orient="top",
        gradientLength=320,
        gradientThickness=10,
        titleLimit=400,
        format="~g",
    )
    steps = list(range(10, -11, -1))
    axis = alt.Axis(values=[10, 5, 0, -5, -10], ticks=False, domain=False)
    frame = cells.select("timestamp", "until", "step", "value")
    return (
        alt.Chart(frame, width=width, height=230)
        .mark_rect()
        .encode(
            x=alt.X(
                "timestamp:T",
                title="시각 (KST)" if side == "풋" else None,
                axis=alt.Axis(format="%H:%M", labelAngle=0, tickCount=10),
            ),
            x2="until:T",
            y=alt.Y(
                "step:O",
                sort=steps,
                title=f"{side}: ATM 기준 행사가 단계",
                scale=alt.Scale(domain=steps),
                axis=axis,
            ),
            color=alt.Color("value:Q", legend=legend, scale=alt.Scale(scheme="viridis")),
            tooltip=tooltip,
        )
    )


def board_chart(
    cells: pl.DataFrame, metric: str, *, width: Width = WIDTH, heading: str = ""
) -> Picture:
    """Draw one snapshot of a metric as a ladder: strikes from high to low, calls beside puts."""
    drawn = cells.filter(pl.col("value").is_finite()).with_columns(
        pl.col("option_type").replace_strict(_SIDES, return_dtype=pl.String).alias("side")
    )
    frame = drawn.select("side", "step", "value")
    steps = frame["step"].unique().sort(descending=True).to_list()
    base = alt.Chart(frame, width=width, height=17 * len(steps)).encode(
        x=alt.X("side:N", title=None, axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("step:O", sort=steps, title="ATM 기준 행사가 단계"),
    )
    color = alt.Color("value:Q", legend=None, scale=alt.Scale(scheme="viridis"))
    numbers = base.mark_text(fontSize=11).encode(
        text=alt.Text("value:Q", format=".4~g"), color=_readable(frame)
    )
    title = f"{heading} {metric_name(metric)}".strip()
    return alt.layer(base.mark_rect().encode(color=color), numbers).properties(
        title=alt.TitleParams(title, anchor="start", fontSize=12, fontWeight="normal")
    )


def _readable(frame: pl.DataFrame) -> Picture:
    """Return black on the light half of the colours, white on the dark one."""
    low, high = frame["value"].min(), frame["value"].max()
    if not isinstance(low, float) or not isinstance(high, float):
        return alt.value("black")
    return alt.condition(
        f"datum.value > {(low + high) / 2}", alt.value("black"), alt.value("white")
    )
