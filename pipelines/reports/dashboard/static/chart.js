"use strict";
/* The price chart: candles, volume, bands, turns and session breaks, drawn by Lightweight Charts. */

class SessionBreaks {
  /* Vertical lines where a session begins: a primitive of the library. */
  constructor() { this.times = []; this.color = "#999"; }
  attached({ chart, requestUpdate }) { this.chart = chart; this.requestUpdate = requestUpdate; }
  detached() { this.chart = null; }
  update(times, color) { this.times = times; this.color = color; if (this.requestUpdate) this.requestUpdate(); }
  updateAllViews() {}
  paneViews() {
    const self = this;
    const renderer = {
      draw(target) {
        target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio }) => {
          if (!self.chart) return;
          context.strokeStyle = self.color;
          context.setLineDash([4 * horizontalPixelRatio, 4 * horizontalPixelRatio]);
          context.lineWidth = Math.max(1, Math.floor(horizontalPixelRatio));
          for (const time of self.times) {
            const x = self.chart.timeScale().timeToCoordinate(time);
            if (x === null) continue;
            const half = self.chart.timeScale().options().barSpacing / 2;
            const at = Math.round((x - half) * horizontalPixelRatio) + 0.5;
            context.beginPath();
            context.moveTo(at, 0);
            context.lineTo(at, bitmapSize.height);
            context.stroke();
          }
        });
      },
    };
    return [{ zOrder: () => "bottom", renderer: () => renderer }];
  }
}

class PriceChart {
  constructor(place) {
    this.place = place;
    this.rows = {};
    this.words = {};
    const { createChart, CandlestickSeries, HistogramSeries, LineSeries, createSeriesMarkers } = LightweightCharts;
    this.chart = createChart(place, {
      autoSize: true,
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 0.2 },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.22 } },
      localization: { locale: document.body.dataset.language === "ko" ? "ko-KR" : "en-GB",
        timeFormatter: (time) => new Date(time * 1000).toISOString().slice(5, 16).replace("T", " ") },
      crosshair: { mode: 0 },
      handleScale: { axisPressedMouseMove: true }, kineticScroll: { touch: true, mouse: false },
    });
    const quiet = { priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false, lineWidth: 1 };
    this.lines = { vwap: this.chart.addSeries(LineSeries, { ...quiet, lineWidth: 2 }),
      ub: this.chart.addSeries(LineSeries, { ...quiet, lineStyle: 2 }),
      lb: this.chart.addSeries(LineSeries, { ...quiet, lineStyle: 2 }) };
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: true });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" },
      priceLineVisible: false, lastValueVisible: false });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.markers = createSeriesMarkers(this.candles, []);
    this.breaks = new SessionBreaks();
    this.candles.attachPrimitive(this.breaks);
    this.legend = document.createElement("div");
    this.legend.className = "legend";
    place.append(this.legend);
    this.chart.subscribeCrosshairMove((move) => this.tell(move));
    place.addEventListener("keydown", (event) => this.key(event));
    this.dress();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => { this.dress(); this.draw(); });
  }

  write(value) {
    const digits = this.words.digits ?? 2;
    return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  color(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

  dress() {
    const [up, down, line, ink, soft, card] = ["up", "down", "line", "ink", "soft", "card"].map((n) => this.color(n));
    this.chart.applyOptions({
      layout: { background: { color: card }, textColor: soft, fontFamily: getComputedStyle(document.body).fontFamily,
        attributionLogo: true },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line }, timeScale: { borderColor: line },
    });
    /* A rising candle is hollow: colour alone says nothing to some. */
    this.candles.applyOptions({ upColor: card, borderUpColor: up, wickUpColor: up,
      downColor: down, borderDownColor: down, wickDownColor: down });
    this.lines.vwap.applyOptions({ color: ink });
    this.lines.ub.applyOptions({ color: this.color("c3") });
    this.lines.lb.applyOptions({ color: this.color("c4") });
  }

  update(message) {
    const anew = Boolean(message.anew);
    if (anew) this.rows = {};
    if (message.chart) this.words = message.chart;
    for (const [name, [place, rows]] of Object.entries(message.rows || {})) {
      this.rows[name] = (this.rows[name] || []).slice(0, place).concat(rows);
    }
    if (message.chart || message.rows) this.draw();
    if (anew) this.day();
  }

  draw() {
    const bars = this.rows.bars || [];
    const { words } = this;
    const precision = words.digits ?? 2;
    const priceFormat = { type: "custom", minMove: precision ? 0.01 : 1, formatter: (value) => this.write(value) };
    this.candles.applyOptions({ priceFormat });
    this.candles.setData(bars.map(([time, open, high, low, close]) => ({ time, open, high, low, close })));
    const [up, down] = [this.color("up"), this.color("down")];
    this.volume.setData(bars.map(([time, open, , , close, value]) => ({ time, value, color: `${close < open ? down : up}88` })));
    this.known = new Set(bars.map(([time]) => time));
    for (const [name, series] of Object.entries(this.lines)) {
      series.applyOptions({ priceFormat });
      series.setData(this.broken((this.rows[name] || []).filter(([time]) => this.known.has(time))));
    }
    this.markers.setMarkers((this.rows.turns || []).filter(([time]) => this.known.has(time)).map(([time, side]) => ({
      time, position: side > 0 ? "belowBar" : "aboveBar", shape: side > 0 ? "arrowUp" : "arrowDown",
      color: side > 0 ? up : down, size: 1.5,
    })));
    this.starts = bars.filter(([time], n) => n && time - bars[n - 1][0] > 3 * 3600).map(([time]) => time);
    this.breaks.update(this.starts, this.color("soft"));
    const last = bars.length ? bars[bars.length - 1] : null;
    if (last) this.candles.applyOptions({ priceLineColor: last[4] < (words.previous ?? last[1]) ? down : up });
    if (this.previous) this.candles.removePriceLine(this.previous);
    this.previous = words.previous == null ? null : this.candles.createPriceLine({
      price: words.previous, color: this.color("soft"), lineWidth: 1, lineStyle: 1, axisLabelVisible: true,
      title: words.previous_name || "" });
    if (this.entry) this.candles.removePriceLine(this.entry);
    this.entry = words.entry == null ? null : this.candles.createPriceLine({
      price: words.entry, color: words.entry_side > 0 ? up : down, lineWidth: 1, lineStyle: 2, axisLabelVisible: true,
      title: `${words.entry_side > 0 ? "▲" : "▼"} ${words.entry_name}` });
    this.place.setAttribute("aria-label", words.label || "");
    this.tell({});
  }

  broken(rows) {
    /* A line does not cross the break between sessions. */
    const points = [];
    rows.forEach(([time, value], n) => {
      const last = n + 1 < rows.length && rows[n + 1][0] - time > 3 * 3600;
      points.push(last ? { time, value, color: "transparent" } : { time, value });
    });
    return points;
  }

  tell({ time, seriesData }) {
    const bars = this.rows.bars || [];
    const bar = seriesData && seriesData.get(this.candles);
    const row = bar ? [time, bar.open, bar.high, bar.low, bar.close] : bars[bars.length - 1];
    this.legend.textContent = "";
    if (!row) { this.legend.textContent = this.words.label || ""; return; }
    const write = (value) => this.write(value);
    const at = new Date(row[0] * 1000).toISOString().slice(11, 16);
    const volume = bars.find(([when]) => when === row[0]);
    const parts = [[`${at}  O ${write(row[1])}  H ${write(row[2])}  L ${write(row[3])}  C ${write(row[4])}  V ${(volume ? volume[5] : 0).toLocaleString("en")}`, row[4] < row[1] ? "down" : "up"]];
    for (const [name, tone] of [["vwap", "ink"], ["ub", "c3"], ["lb", "c4"]]) {
      const line = (this.rows[name] || []).find(([when]) => when === row[0]);
      if (line) parts.push([`${(this.words.names || {})[name] || name} ${write(line[1])}`, tone]);
    }
    for (const [text, tone] of parts) {
      const part = document.createElement("span");
      part.textContent = `${text}   `;
      part.style.color = this.color(tone);
      this.legend.append(part);
    }
  }

  day() {
    /* Show the last session whole. */
    const bars = this.rows.bars || [];
    if (!bars.length) return;
    const start = this.starts.length ? this.starts[this.starts.length - 1] : bars[0][0];
    const first = bars.findIndex(([time]) => time >= start);
    const least = Math.min(bars.length, 90);
    this.chart.timeScale().setVisibleLogicalRange({ from: Math.max(0, Math.min(first, bars.length - least) - 1) - 0.5, to: bars.length + 3 });
  }

  key(event) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const width = range.to - range.from;
    const moves = { ArrowLeft: [-0.1, -0.1], ArrowRight: [0.1, 0.1], "+": [0.15, -0.15], "=": [0.15, -0.15], "-": [-0.2, 0.2] };
    if (event.key === "0") this.day();
    else if (moves[event.key]) {
      const [from, to] = moves[event.key];
      scale.setVisibleLogicalRange({ from: range.from + from * width, to: range.to + to * width });
    } else return;
    event.preventDefault();
  }
}
