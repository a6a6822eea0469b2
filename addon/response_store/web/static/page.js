// Live lists, the keyboard, and parts of pages that are loaded when they are asked for.
"use strict";

const base = document.body.dataset.base;
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

async function load(address) {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status}`);
  return text;
}

// What the server has drawn, as nodes; it runs no scripts, nor would the page's policy let it.
function parse(html) {
  return document.importNode(new DOMParser().parseFromString(html, "text/html").body, true);
}

// --- parts that are loaded on demand

async function loadPart(button, address, place) {
  button.disabled = true;
  try {
    place(await load(address));
  } catch (error) {
    button.disabled = false;
    button.textContent = `not loaded (${error.message}), try again`;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { more, next, picture, following } = button.dataset;
  if (more) {
    loadPart(button, more, (html) => button.replaceWith(...parse(html).childNodes));
  } else if (next) {
    loadPart(button, next, (html) => {
      button.closest("li").replaceWith(...$$(":scope > li", $("ul", parse(html))));
    });
  } else if (following) {
    loadPart(button, following, (html) => {
      button.closest("p").replaceWith(...parse(html).childNodes);
      watchEnd();
      listen();
    });
  } else if (picture) {
    loadPart(button, picture, (address) => {
      if (!/^data:image\/(png|jpeg|gif|webp);base64,/.test(address)) return;
      const image = document.createElement("img");
      image.alt = "picture out of the exchange";
      image.src = address;
      button.replaceWith(image);
    });
  }
});

document.addEventListener("toggle", (event) => {
  const details = event.target;
  const address = details.dataset && details.dataset.nodes;
  if (!address || !details.open || details.dataset.loaded) return;
  details.dataset.loaded = "1";
  load(address).then(
    (html) => details.append(...parse(html).childNodes),
    () => delete details.dataset.loaded,
  );
}, true);

// Turns come as one scrolls to the end of those that are there.
const ends = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting && !entry.target.disabled) entry.target.click();
}, { rootMargin: "800px" });

function watchEnd() {
  ends.disconnect();
  $$("[data-following]").forEach((button) => ends.observe(button));
}

watchEnd();

// --- rows: the whole row leads to its page, and one is the current one

let current = null;

function rows() {
  return $$("[data-href], [data-open], .entry", $("#main")).filter((one) => !one.closest(".turn .entry"));
}

function select(row, scroll = true) {
  $$("[data-id].current").forEach((one) => one.classList.remove("current"));
  current = row ? row.dataset.id : null;
  if (!row) return;
  row.classList.add("current");
  const link = $("a", row);
  if (link && row.dataset.href) link.focus({ preventScroll: true });
  if (scroll) row.scrollIntoView({ block: "nearest" });
}

function move(by) {
  const all = rows();
  const at = all.findIndex((row) => row.dataset.id === current);
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by;
  if (all[next]) select(all[next]);
}

document.addEventListener("click", (event) => {
  const row = event.target.closest("[data-href]");
  if (!row || event.target.closest("a, button, summary, input") || String(getSelection())) return;
  if (event.ctrlKey || event.metaKey) return;
  location.href = row.dataset.href;
});

// --- the keyboard

const places = { s: "", e: "exchanges", t: "statistics" };
let chord = 0;

function follow(selector) {
  const link = $(selector);
  if (link) link.click();
  return Boolean(link);
}

function open() {
  const row = rows().find((one) => one.dataset.id === current);
  const fold = row && $("summary", row);
  const address = row && (row.dataset.href || row.dataset.open);
  if (address) location.href = address;
  else if (fold) fold.click();
}

// The first call names what was before, the second what came after.
let before = null;

function compare() {
  const own = location.pathname.match(/\/exchange\/([^/]+)/);
  const row = rows().find((one) => one.dataset.id === current && (one.dataset.href || one.dataset.open || "").includes("/exchange/"));
  const name = row ? row.dataset.id : own && decodeURIComponent(own[1]);
  if (!name) return false;
  if (before && before !== name) {
    location.href = `${base}exchange/${encodeURIComponent(name)}/changes?before=${encodeURIComponent(before)}`;
  } else {
    before = before ? null : name;
    $$(".compared").forEach((one) => one.classList.remove("compared"));
    if (row && before) row.classList.add("compared");
  }
  return true;
}

function foldAll() {
  const all = $$(".conversation details");
  const open = all.some((one) => !one.open);
  all.forEach((one) => { one.open = open; });
}

function act(key) {
  if (Date.now() - chord < 1500 && key in places) {
    location.href = base + places[key];
    return true;
  }
  chord = key === "g" ? Date.now() : 0;
  switch (key) {
    case "j": move(1); return true;
    case "k": move(-1); return true;
    case "Enter": if (!current) return false; open(); return true;
    case "/": $("#q").focus(); $("#q").select(); return true;
    case "f": { const first = $("#filters select, #filters input"); if (first) first.focus(); return Boolean(first); }
    case "?": $("#help").showModal(); return true;
    case "u": return follow("#up") || (history.back(), true);
    case "[": return follow("#previous");
    case "]": return follow("#next");
    case "d": return compare();
    case "o": foldAll(); return true;
    default: {
      const tab = /^[1-9]$/.test(key) && $$(".tabs > a")[Number(key) - 1];
      if (tab) tab.click();
      return Boolean(tab);
    }
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input, select, textarea, dialog");
  if (field) {
    if (event.key === "Escape" && field.blur) field.blur();
    return;
  }
  const focused = event.target.closest("a, button, summary");
  if (event.key === "Enter" && focused && !focused.closest(".current")) return;
  if (act(event.key)) event.preventDefault();
});

$("#open-help").addEventListener("click", () => $("#help").showModal());
$$("#filters select").forEach((one) => one.addEventListener("change", () => one.form.requestSubmit()));

// Empty fields say nothing: the address stays short.
$$("form.filters, form.find").forEach((form) => form.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
}));

// --- what is new, while the page is seen

const pulse = $("#pulse");
let source = null;
let waiting = false;
let due = false;
let timer = 0;

async function refresh() {
  if (waiting) { due = true; return; }
  waiting = true;
  due = false;
  try {
    const region = $("#live[data-live]");
    const page = region && parse(await load(region.dataset.address || location.href));
    const fresh = page && ($("#live", page) || $(".turns", page));
    if (fresh) show(fresh);
  } catch { /* the next change tries again */ }
  setTimeout(() => { waiting = false; if (due) refresh(); }, 700);
}

function show(fresh) {
  const region = $("#live");
  const known = new Map($$("[data-id]", region).map((row) => [row.dataset.id, row.outerHTML]));
  const opened = new Set($$("details[open]", region).map((one) => one.closest("[data-id]")?.dataset.id));
  const hadFocus = region.contains(document.activeElement);
  if (String(getSelection()) && hadFocus) return;
  for (const row of $$("[data-id]", fresh)) {
    if (!known.has(row.dataset.id)) row.classList.add("new");
    if (opened.has(row.dataset.id)) $$("details", row).forEach((one) => { one.open = true; });
  }
  const height = document.documentElement.scrollHeight;
  if ("polled" in fresh.dataset !== "polled" in region.dataset) {
    region.toggleAttribute("data-polled", "polled" in fresh.dataset);
    stop();
    listen();
  }
  const more = fresh.parentNode && $("[data-following]", fresh.parentNode);
  region.replaceChildren(...fresh.childNodes);
  if (more) { region.after(more.closest("p")); watchEnd(); }
  if (!("live" in fresh.dataset)) {
    if ("polled" in region.dataset) location.reload(); // its head has changed as well
    delete region.dataset.live;
    stop();
  }
  // Whoever reads further down keeps the place.
  if (region.querySelector("table.list") && scrollY > 200) {
    scrollBy(0, document.documentElement.scrollHeight - height);
  }
  const row = current && rows().find((one) => one.dataset.id === current);
  if (row) {
    row.classList.add("current");
    if (hadFocus) $("a", row)?.focus({ preventScroll: true });
  }
}

function stop() {
  clearInterval(timer);
  if (source) source.close();
  source = null;
  pulse.hidden = true;
}

function listen() {
  if (!$("#live[data-live]") || document.hidden) { stop(); return; }
  if (source) return;
  source = new EventSource(`${base}changes`);
  source.addEventListener("open", () => { pulse.hidden = false; pulse.textContent = "live"; });
  source.addEventListener("error", () => { pulse.textContent = "waiting"; });
  source.addEventListener("change", refresh);
  // What a running answer has so far is in a journal, of which no event tells.
  if ($("#live[data-polled]")) timer = setInterval(refresh, 1000);
}

document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", stop);
addEventListener("pageshow", listen);
listen();
