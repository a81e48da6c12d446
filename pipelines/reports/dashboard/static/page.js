"use strict";
/* Shows what the server pushes: parts as HTML that it has escaped, and the numbers of the chart. */

(() => {
  const words = JSON.parse(document.body.dataset.words);
  const lost = document.getElementById("lost");
  const form = document.getElementById("choices");
  const chart = new PriceChart(document.getElementById("chart"));
  let source = null;
  let retry = null;
  const later = new Map(); /* parts in which somebody is typing: put when that is over */
  let asked = 0;
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
    if (active.name === "find" && place.contains(active)) return later.set(name, html);
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

  /* Of a whole market the server finds a few names; arrows, Enter and Escape choose among them. */
  const box = () => form.querySelector("#found");
  const choosable = () => [...box().children];

  async function find(field) {
    const number = ++asked;
    const wanted = new URLSearchParams(location.search);
    wanted.set("find", field.value === field.dataset.shown ? "" : field.value);
    wanted.set("lang", document.body.dataset.language);
    const answer = await fetch(`symbols?${wanted}`).catch(() => null);
    if (!answer || !answer.ok || number !== asked || document.activeElement !== field) return;
    box().replaceChildren(...(await answer.json()).map(([code, name], place) => {
      const item = document.createElement("li");
      item.id = `found-${place}`;
      item.setAttribute("role", "option");
      item.dataset.code = code;
      item.textContent = name;
      return item;
    }));
    mark(field, field.value && field.value !== field.dataset.shown ? 0 : -1);
    open_list(field, choosable().length > 0);
  }

  function open_list(field, is_open) {
    box().hidden = !is_open;
    field.setAttribute("aria-expanded", String(is_open));
  }

  function mark(field, place) {
    choosable().forEach((item, n) => item.setAttribute("aria-selected", String(n === place)));
    const chosen = choosable()[place];
    if (chosen) { field.setAttribute("aria-activedescendant", chosen.id); chosen.scrollIntoView({ block: "nearest" }); }
    else field.removeAttribute("aria-activedescendant");
  }

  function take(field, item) {
    field.value = field.dataset.shown = item.textContent;
    field.blur();
    choose("symbol", item.dataset.code);
  }

  form.addEventListener("focusin", ({ target }) => { if (target.name === "find") { target.select(); find(target); } });
  form.addEventListener("input", ({ target }) => { if (target.name === "find") find(target); });
  form.addEventListener("focusout", ({ target }) => {
    if (target.name !== "find") return;
    target.value = target.dataset.shown;
    open_list(target, false);
    const waiting = [...later];
    later.clear();
    setTimeout(() => waiting.forEach(([name, html]) => put(name, html)));
  });
  form.addEventListener("pointerdown", (event) => {
    const item = event.target.closest("#found li");
    if (item) { event.preventDefault(); take(form.elements.find, item); }
  });
  form.addEventListener("keydown", (event) => {
    const field = event.target;
    if (field.name !== "find") return;
    const items = choosable();
    const place = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) { mark(field, (place + step + items.length) % items.length); open_list(field, true); }
    else if (event.key === "Enter" && items[place] && !box().hidden) take(field, items[place]);
    else if (event.key === "Escape" && !box().hidden) { field.value = field.dataset.shown; open_list(field, false); }
    else return;
    event.preventDefault();
  });

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    if (target.name === "find") return;
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
