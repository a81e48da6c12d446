"use strict";
/* The chart of a report: prices with trades, equity beside buy and hold, drawdown; one axis of time. */

class ReportChart {
  constructor(place, data) {
    this.place = place;
    this.data = data;
    const { createChart, createSeriesMarkers, BaselineSeries, CandlestickSeries, LineSeries } = LightweightCharts;
    this.chart = createChart(place, {
      autoSize: true,
      timeScale: { timeVisible: true, secondsVisible: false, minBarSpacing: 0.01 },
      localization: { locale: document.body.dataset.language === "ko" ? "ko-KR" : "en-GB",
        timeFormatter: (time) => new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ") },
      crosshair: { mode: 0 },
      kineticScroll: { touch: true, mouse: false },
    });
    const percent = { type: "custom", minMove: 0.01, formatter: (value) => `${value.toFixed(1)} %` };
    const quiet = { priceLineVisible: false, priceFormat: percent, crosshairMarkerVisible: false };
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: true, priceLineVisible: false }, 0);
    this.hold = this.chart.addSeries(LineSeries, { ...quiet, lineWidth: 1, lineStyle: 2 }, 1);
    this.growth = this.chart.addSeries(LineSeries, { ...quiet, lineWidth: 2 }, 1);
    this.drawdown = this.chart.addSeries(BaselineSeries, { ...quiet, lineWidth: 1, baseValue: { type: "price", price: 0 } }, 2);
    this.markers = createSeriesMarkers(this.candles, []);
    this.chart.panes().forEach((pane, n) => pane.setStretchFactor([5, 3, 2][n]));
    place.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress());
  }

  color(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

  dress() {
    const [up, down, line, ink, soft, card] = ["up", "down", "line", "ink", "soft", "card"].map((n) => this.color(n));
    this.chart.applyOptions({
      layout: { background: { color: card }, textColor: soft, fontFamily: getComputedStyle(document.body).fontFamily,
        attributionLogo: true, panes: { separatorColor: line } },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line }, timeScale: { borderColor: line },
    });
    /* A rising candle is hollow: colour alone says nothing to some. */
    this.candles.applyOptions({ upColor: card, borderUpColor: up, wickUpColor: up,
      downColor: down, borderDownColor: down, wickDownColor: down });
    this.growth.applyOptions({ color: ink });
    this.hold.applyOptions({ color: soft });
    this.drawdown.applyOptions({ topLineColor: down, topFillColor1: "transparent", topFillColor2: "transparent",
      bottomLineColor: down, bottomFillColor1: `${down}55`, bottomFillColor2: `${down}55` });
    if (this.shown) this.mark();
  }

  show(symbol) {
    this.shown = this.data[symbol];
    const { bars, digits, label } = this.shown;
    const write = (value) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    this.candles.applyOptions({ priceFormat: { type: "custom", minMove: digits ? 0.01 : 1, formatter: write } });
    this.candles.setData(bars.map(([time, open, high, low, close]) => ({ time, open, high, low, close })));
    this.growth.setData(bars.map((bar) => ({ time: bar[0], value: bar[5] })));
    this.hold.setData(bars.map((bar) => ({ time: bar[0], value: bar[6] })));
    this.drawdown.setData(bars.filter((bar) => bar[7] !== null).map((bar) => ({ time: bar[0], value: bar[7] })));
    this.place.setAttribute("aria-label", label);
    this.dress();
    this.chart.timeScale().fitContent();
  }

  mark() {
    const [up, down, ink] = ["up", "down", "ink"].map((name) => this.color(name));
    const size = this.shown.markers.length > 150 ? 0.5 : 1;
    this.markers.setMarkers(this.shown.markers.map(([time, side, entry]) => (entry
      ? { time, position: side > 0 ? "belowBar" : "aboveBar", shape: side > 0 ? "arrowUp" : "arrowDown", color: side > 0 ? up : down, size }
      : { time, position: side > 0 ? "aboveBar" : "belowBar", shape: "circle", color: ink, size: size / 2 })));
  }

  key(event) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const width = range.to - range.from;
    const moves = { ArrowLeft: [-0.1, -0.1], ArrowRight: [0.1, 0.1], "+": [0.15, -0.15], "=": [0.15, -0.15], "-": [-0.2, 0.2] };
    if (event.key === "0") scale.fitContent();
    else if (moves[event.key]) {
      const [from, to] = moves[event.key];
      scale.setVisibleLogicalRange({ from: range.from + from * width, to: range.to + to * width });
    } else return;
    event.preventDefault();
  }
}

document.fonts.ready.then(() => {
  const chart = new ReportChart(document.getElementById("chart"), JSON.parse(document.getElementById("data").textContent));
  const chosen = document.querySelector("#choices select");
  const show = () => {
    for (const part of document.querySelectorAll("[data-symbol]")) part.hidden = part.dataset.symbol !== chosen.value;
    chart.show(chosen.value);
  };
  chosen.addEventListener("change", show);
  show();
});
