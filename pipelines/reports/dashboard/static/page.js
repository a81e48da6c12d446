"use strict";
/* Shows what the server pushes: parts as HTML that it has escaped, and the numbers of the chart. */

(() => {
  const words = JSON.parse(document.body.dataset.words);
  const lost = document.getElementById("lost");
  const form = document.getElementById("choices");
  const chart = new PriceChart(document.getElementById("chart"));
  let source = null;
  let retry = null;
  let shown = { now: null, at: 0, runs: false };

  const moment = (text) => Date.parse(`${text.slice(0, 19)}Z`) / 1000;
  const present = () => shown.now + (shown.runs ? (performance.now() - shown.at) / 1000 : 0);

  const say = (key, count) => words[key].replace("{count}", String(Math.floor(count)));

  function age(seconds) {
    const whole = Math.max(0, seconds);
    if (whole < 120) return say("seconds_ago", whole);
    return whole < 7200 ? say("minutes_ago", whole / 60) : say("hours_ago", whole / 3600);
  }

  function left(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    if (whole >= 2 * 86400) return say("days_left", whole / 86400);
    const two = (n) => String(n).padStart(2, "0");
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  }

  function tick() {
    if (shown.now === null) return;
    const now = present();
    for (const place of document.querySelectorAll("[data-at]")) place.textContent = age(now - moment(place.dataset.at));
    for (const place of document.querySelectorAll("[data-until]")) place.textContent = left(moment(place.dataset.until) - now);
  }

  function put(name, html) {
    const place = document.getElementById(name);
    if (!place) return;
    /* What has the focus is found again: a redrawn table must not take it away. */
    const active = document.activeElement;
    const held = place.contains(active) ? active.getAttribute("name") || active.dataset.strikes : null;
    const scrolls = [...place.querySelectorAll(".scroll")].map((part) => [part.scrollLeft, part.scrollTop]);
    place.innerHTML = html;
    [...place.querySelectorAll(".scroll")].forEach((part, n) => {
      if (scrolls[n]) [part.scrollLeft, part.scrollTop] = scrolls[n];
    });
    if (held) (place.querySelector(`[name="${CSS.escape(held)}"], [data-strikes]`) || place).focus();
  }

  function show(message) {
    clearTimeout(retry);
    lost.hidden = true;
    if (message.now) shown = { now: moment(message.now), at: performance.now(), runs: message.runs };
    for (const [name, html] of Object.entries(message.parts)) put(name, html);
    if (message.parts.price) title();
    chart.update(message);
    tick();
  }

  function title() {
    const price = document.querySelector('[data-krt="price"]');
    const change = document.querySelector('[data-krt="change"]');
    if (price) document.title = `${price.textContent} ${change ? change.textContent : ""} · korea-realtime-trading`;
  }

  function open() {
    if (source) source.close();
    source = new EventSource(`events${location.search}`);
    source.onmessage = (event) => show(JSON.parse(event.data));
    source.onerror = () => {
      /* The browser tries again by itself, except after a refusal. */
      const at = shown.now === null ? "–" : new Date(present() * 1000).toISOString().slice(11, 19);
      const refused = source.readyState === EventSource.CLOSED;
      lost.textContent = refused && shown.now === null ? words.too_many : words.connection_lost.replace("{at}", at);
      lost.hidden = false;
      shown.runs = false;
      if (refused) { clearTimeout(retry); retry = setTimeout(open, 5000); }
    };
  }

  function choose(name, value) {
    const query = new URLSearchParams(location.search);
    if (value) query.set(name, value); else query.delete(name);
    query.delete("lang");
    const text = query.toString();
    history.replaceState(null, "", text ? `?${text}` : location.pathname);
    const other = document.getElementById("language");
    query.set("lang", other.hreflang);
    other.href = `?${query}`;
    open();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    const today = form.querySelector("[data-today]").dataset.today;
    choose(target.name, target.name === "day" && target.value === today ? "" : target.value);
  });
  document.addEventListener("click", ({ target }) => {
    if (target.dataset.today) choose("day", "");
    if (target.dataset.strikes) choose("strikes", target.dataset.strikes === "all" ? "all" : "");
  });
  const query = new URLSearchParams(location.search);
  const other = document.getElementById("language");
  query.set("lang", other.hreflang);
  other.href = `?${query}`;
  setInterval(tick, 1000);
  open();
})();
