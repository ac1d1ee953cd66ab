// What pages do beyond HTML. Everything works without it; with it, pages follow what happens and forms are sent once.
"use strict";

// Live pages: <main data-live="address of a stream of events">, and parts with data-part and an id, which are replaced when
// anything happens. A hidden tab holds no stream, since browsers allow six connections to one service.
// <main data-poll="seconds"> looks every so often instead; a hidden tab does not.
const live = {
  source: null,
  waiting: null,
  loading: false,
  again: false,
  polling: null,
  failures: 0,
  // How often something has happened.
  times: 0,

  open() {
    const stream = document.querySelector("main")?.dataset.live;
    if (!stream || document.hidden || this.source) return;
    this.source = new EventSource(stream);
    this.source.onmessage = () => this.soon();
    this.source.onerror = () => {
      // A stream that broke off is opened again by the browser; one that was refused is not.
      if (this.source?.readyState === EventSource.CLOSED) {
        this.close();
        this.failed();
      }
    };
  },

  close() {
    this.source?.close();
    this.source = null;
  },

  // Several events of one booking come at once.
  soon() {
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      this.refresh();
    }, 100);
  },

  poll() {
    const seconds = document.querySelector("main")?.dataset.poll;
    clearTimeout(this.polling);
    if (seconds && !document.hidden) this.polling = setTimeout(() => this.refresh(), seconds * 1000);
  },

  // What is shown is old while the service does not answer. It is asked less and less often, and not by all at once.
  failed() {
    for (const notice of document.querySelectorAll("[data-lost]")) notice.hidden = false;
    const wait = Math.min(30000, 1000 * 2 ** this.failures++) * (0.75 + Math.random() / 2);
    clearTimeout(this.polling);
    this.polling = setTimeout(() => this.refresh(), wait);
  },

  // One page is loaded at a time: what happens meanwhile has it loaded once more.
  async refresh() {
    if (document.hidden) return;
    if (this.loading) {
      this.again = true;
      return;
    }
    clearTimeout(this.polling);
    this.loading = true;
    this.again = false;
    try {
      await this.load();
    } catch {
      this.failed();
    } finally {
      this.loading = false;
    }
    if (this.again) this.soon();
  },

  async load() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const text = await answer.text();
    if (answer.redirected || answer.status === 404) return void location.reload();
    if (!answer.ok) return this.failed();
    this.failures = 0;
    for (const notice of document.querySelectorAll("[data-lost]")) notice.hidden = true;
    const page = new DOMParser().parseFromString(text, "text/html");
    this.times++;
    for (const part of document.querySelectorAll("[data-part]")) {
      if (isElsewhere(part)) age(part);
      else renew(part, page);
    }
    const main = document.querySelector("main");
    const stream = page.querySelector("main")?.dataset.live;
    if (stream) main.dataset.live = stream;
    else delete main.dataset.live;
    if (!stream) this.close();
    else this.open();
    this.poll();
  },
};

// Parts that came from other pages (data-from) are renewed once they are seen.
const isElsewhere = (part) => part.dataset.from && new URL(part.dataset.from, location).href !== location.href;
// Of two answers about one of them the one that was asked for later tells, whichever comes first.
const aged = new Set();
const turns = { asked: 0, told: new Map() };
function age(part) {
  aged.add(part.id);
  stale.observe(part);
}
const stale = new IntersectionObserver((seen) => {
  for (const { target: part, isIntersecting } of seen) if (isIntersecting) renewFromElsewhere(part);
});

async function renewFromElsewhere(seen) {
  const { id } = seen;
  const turn = ++turns.asked;
  stale.unobserve(seen);
  aged.delete(id);
  const page = await load(seen.dataset.from).catch(() => null);
  const part = document.getElementById(id);
  if (!part || turn < (turns.told.get(id) ?? 0)) return;
  if (!page) return void setTimeout(() => part.isConnected && age(part), 5000);
  turns.told.set(id, turn);
  renew(part, page);
}

async function load(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error(answer.status);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// Parts as they came, since the script adds to them. The key of a form is another one each time, which is no news.
const served = new WeakMap();
const told = (part) => part.outerHTML.replace(/name="formKey" value="[^"]*"/g, "");

function renew(part, page) {
  const newer = page.getElementById(part.id);
  if (!newer || told(newer) === served.get(part) || isBusy(part)) return;
  served.set(newer, told(newer));
  // What it has no room for any more is behind a link that is not here yet.
  const end = newer.nextElementSibling;
  const id = CSS.escape(end?.dataset.more ?? "");
  const isNew = id && !document.querySelector(`[id="${id}"], [data-more="${id}"]`);
  const stay = held(part);
  replace(part, newer);
  if (isNew) newer.after(end);
  arrange();
  stay?.(newer);
}

// A part in which somebody is typing is left alone.
function isBusy(part) {
  const fields = part.querySelectorAll("input:not([type=hidden]), select, textarea");
  return [...fields].some((field) =>
    field.tagName === "SELECT"
      ? [...field.options].some((option) => option.selected !== option.defaultSelected)
      : field.type === "checkbox" || field.type === "radio"
        ? field.checked !== field.defaultChecked
        : field.value !== field.defaultValue,
  );
}

function replace(part, newer) {
  const active = part.contains(document.activeElement) ? document.activeElement : null;
  const address = active?.getAttribute("href");
  const focused = active?.id ? `#${CSS.escape(active.id)}` : address ? `[href="${CSS.escape(address)}"]` : null;
  const row = rowOf(active?.closest("[data-line]"));
  const open = new Set([...part.querySelectorAll("details[open]")].map((details) => details.id));
  part.replaceWith(newer);
  if (aged.has(part.id)) age(newer);
  for (const details of newer.querySelectorAll("details")) if (open.has(details.id)) details.open = true;
  // What had the focus may be gone; its row is not.
  const again = (focused && newer.querySelector(focused)) ?? (row && newer.querySelector(row));
  again?.focus({ preventScroll: true });
}

// A row is known by its first link.
const rowOf = (line) => line && `[data-line] > a[href="${CSS.escape(line.querySelector("a").getAttribute("href"))}"]`;

// The first row that is seen in <div data-scroll> stays where it is, however much comes or goes above it, once one has scrolled.
function held(part) {
  const scrolled = part.closest("[data-scroll]");
  if (!scrolled?.scrollTop) return null;
  const top = scrolled.getBoundingClientRect().top + scrolled.querySelector("[data-head]").offsetHeight;
  const line = [...part.querySelectorAll("[data-line]")].find((line) => line.getBoundingClientRect().bottom > top);
  if (!line) return null;
  const [row, before] = [rowOf(line), line.getBoundingClientRect().top];
  return (newer) => {
    // Rows that are drawn only when they are seen have no height of their own before; they keep the one that they have now.
    newer.classList.add("drawn");
    requestAnimationFrame(() => requestAnimationFrame(() => newer.classList.remove("drawn")));
    const line = newer.querySelector(row)?.closest("[data-line]");
    if (line) scrolled.scrollTop += line.getBoundingClientRect().top - before;
  };
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) live.close();
  else if (document.querySelector("main[data-live], main[data-poll]")) live.refresh();
});
addEventListener("pagehide", () => live.close());

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) return event.preventDefault();
  if (form.method !== "post") return;
  form.dataset.sent = "yes";
  setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)));
});
addEventListener("pageshow", (event) => {
  // A form that was sent has a key that was used.
  if (event.persisted && document.querySelector("form[data-sent]")) location.reload();
});

// A period that begins at another time is as long as before.
document.addEventListener("change", ({ target }) => {
  const { fromDay, fromTime, toDay, toTime } = target.form?.elements ?? {};
  if (!toDay || (target !== fromDay && target !== fromTime)) return;
  const at = (day, time = "00:00") => Date.parse(`${day}T${time}Z`);
  const first = fromTime && [...fromTime.options].find((option) => option.defaultSelected)?.value;
  const before = Number(fromDay.dataset.before ?? at(fromDay.defaultValue, first));
  const [from, length] = [at(fromDay.value, fromTime?.value), at(toDay.value, toTime?.value) - before];
  if (Number.isNaN(from)) return;
  fromDay.dataset.before = from;
  if (!(length >= 0)) return;
  const [day, time] = new Date(from + length).toISOString().slice(0, 16).split("T");
  toDay.value = day;
  if (toTime && [...toTime.options].some((option) => option.value === time)) toTime.value = time;
});

// Fields that change what can be chosen in the same form: <select data-apply> sends it.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-apply]")) event.target.form.requestSubmit();
});

// Descriptions that are loaded when they are opened: <details data-load="address">.
async function describe(details) {
  const place = details.querySelector(".loaded");
  const address = details.dataset.load;
  delete details.dataset.load;
  try {
    place.append((await load(address)).querySelector("[data-operation]"));
    showTries(place);
  } catch {
    details.dataset.load = address;
  }
}
document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.open && event.target.dataset.load) describe(event.target);
  },
  true,
);

// Trying a call: <form data-try="path" data-method data-token="form token">, whose fields have data-in.
const TRIED_CHARS_MAX = 64 * 1024;
const TRIED_HEADERS = ["content-type", "location", "etag", "retry-after", "ratelimit", "idempotency-replayed", "www-authenticate"];

function showTries(within) {
  for (const form of within.querySelectorAll("form[data-try]")) form.hidden = false;
}

async function tryCall(form) {
  const { method, token: formToken, lost, cut } = form.dataset;
  const given = (place) => [...form.querySelectorAll(`[data-in=${place}]`)].filter((field) => field.value.trim());
  const [body] = given("body");
  const [token] = given("token");
  const query = new URLSearchParams(given("query").map((field) => [field.name, field.value.trim()])).toString();
  const path = given("path").reduce(
    (path, field) => path.replace(`{${field.name}}`, encodeURIComponent(field.value.trim())),
    form.dataset.try,
  );
  const headers = Object.fromEntries(given("header").map((field) => [field.name, field.value.trim()]));
  headers.Accept = "application/json, */*;q=0.5";
  if (body) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token.value.trim()}`;
  else if (formToken && method !== "GET") headers["X-Form-Token"] = formToken;

  const part = (name) => form.querySelector(`[data-${name}]`);
  const stopped = new AbortController();
  const [send, stop] = [form.querySelector("button"), part("stop")];
  const begun = performance.now();
  const took = () => (part("took").textContent = `${Math.round(performance.now() - begun)} ms`);
  let text = "";
  const show = (more) => {
    text += more;
    part("text").hidden = !text;
    part("text").textContent = text;
  };
  send.disabled = true;
  stop.hidden = false;
  stop.onclick = () => stopped.abort();
  part("headers").replaceChildren();
  show("");
  try {
    const credentials = token ? "omit" : "same-origin";
    const answer = await fetch(path + (query && `?${query}`), { method, headers, body: body?.value, credentials, signal: stopped.signal });
    part("answer").hidden = false;
    part("status").textContent = `${answer.status} ${answer.statusText}`;
    part("status").className = `badge ${answer.ok ? "ok" : answer.status < 500 ? "warn" : "bad"}`;
    took();
    for (const name of TRIED_HEADERS.filter((name) => answer.headers.has(name))) {
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, value.textContent] = [name, answer.headers.get(name)];
      part("headers").append(term, value);
    }
    // What goes on for ever is shown as it comes.
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece; reader && !(piece = await reader.read()).done; ) {
      show(piece.value);
      if (text.length <= TRIED_CHARS_MAX) continue;
      text = text.slice(0, TRIED_CHARS_MAX);
      show(`\n… ${cut}`);
      return stopped.abort();
    }
    took();
    const json = JSON.stringify(JSON.parse(text), null, 2);
    text = "";
    show(json);
  } catch (error) {
    // Nor is what is no JSON, or was stopped, a failure.
    if (!(error instanceof TypeError)) return;
    part("answer").hidden = false;
    part("status").textContent = lost;
    part("status").className = "badge bad";
  } finally {
    send.disabled = false;
    stop.hidden = true;
  }
}
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-try]")) return;
  event.preventDefault();
  tryCall(event.target);
});

showTries(document);
// Further rows come as one scrolls: <p data-more="id of the part to come"> with a link to the page that has it, in an element
// with an id. With them the link goes, so that Tab passes it by.
function more(end) {
  const link = end.querySelector("a");
  link.tabIndex = -1;
  const observer = new IntersectionObserver(
    (seen) => {
      if (!seen.at(-1).isIntersecting) return;
      observer.disconnect();
      const times = live.times;
      load(link.href).then(
        (page) => {
          const rows = [...(page.getElementById(end.parentElement?.id)?.children ?? [])];
          end.replaceWith(...rows.filter((row) => !document.getElementById(row.id || row.dataset.more)));
          arrange();
          // What has happened meanwhile may not be in it.
          if (times !== live.times) rows.filter((row) => row.isConnected && row.id).forEach(age);
        },
        // The link is still there.
        () => (link.tabIndex = 0),
      );
    },
    { root: end.closest("[data-scroll]"), rootMargin: "600px" },
  );
  observer.observe(end);
}

// One stop for Tab among many links: in <div data-rove>, arrow keys go from link to link and from one data-line to the next.
function rove(board) {
  const links = [...board.querySelectorAll("[data-line] a")];
  const stop = links.find((link) => link.getAttribute("tabindex") === "0") ?? links[0];
  for (const link of links) link.tabIndex = link === stop ? 0 : -1;
}

document.addEventListener("focusin", (event) => {
  const link = event.target.closest("[data-rove] [data-line] a");
  if (!link || link.tabIndex === 0) return;
  for (const other of link.closest("[data-rove]").querySelectorAll('a[tabindex="0"]')) other.tabIndex = -1;
  link.tabIndex = 0;
});

// A link that has the focus is wider: it is shown whole or, where there is no room for that, from its beginning.
document.addEventListener("focusin", ({ target: link, relatedTarget: before }) => {
  // What gets the focus again since its part was renewed stays where it is.
  if (!before || !link.matches("[data-rove] [data-line] a:focus-visible")) return;
  const room = link.closest("[data-scroll]").clientWidth - link.closest("[data-line]").querySelector("a").offsetWidth;
  link.scrollIntoView({ block: "nearest", inline: link.offsetWidth > room - 24 ? "start" : "nearest" });
});

document.addEventListener("keydown", (event) => {
  const link = event.target.closest("[data-rove] [data-line] a");
  if (!link || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const line = link.closest("[data-line]");
  const links = [...line.querySelectorAll("a")];
  const beside = (by) => links[links.indexOf(link) + by];
  const across = (by) => {
    const lines = [...link.closest("[data-rove]").querySelectorAll("[data-line]")];
    const there = lines[lines.indexOf(line) + by];
    const left = link.getBoundingClientRect().left;
    const distance = (other) => Math.abs(other.getBoundingClientRect().left - left);
    return there && [...there.querySelectorAll("a")].reduce((best, other) => (distance(other) < distance(best) ? other : best));
  };
  const keys = {
    ArrowLeft: () => beside(-1),
    ArrowRight: () => beside(1),
    ArrowUp: () => across(-1),
    ArrowDown: () => across(1),
    Home: () => links[0],
    End: () => links.at(-1),
  };
  if (!Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]()?.focus();
});

// What stands anew in the page is made ready; what is ready stays so.
const watched = new WeakSet();
function arrange() {
  for (const part of document.querySelectorAll("[data-part]")) if (!served.has(part)) served.set(part, told(part));
  document.querySelectorAll("[data-rove]").forEach(rove);
  // Each page of rows begins with a heading; where it goes on with what the page before has ended with, that is one too many.
  let before = "";
  for (const group of document.querySelectorAll("[data-group]")) {
    group.hidden = group.textContent === before;
    before = group.textContent;
  }
  for (const end of document.querySelectorAll("[data-more]")) {
    if (watched.has(end)) continue;
    watched.add(end);
    more(end);
  }
}

// On a phone, the navigation is wider than the screen: where one is, is in sight.
const here = document.querySelector(".nav [aria-current]");
if (here) {
  const nav = here.closest("ul");
  nav.scrollLeft = here.offsetLeft - nav.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
}

arrange();
// On a phone there is no room for all days, and today's are what is looked for.
for (const today of document.querySelectorAll("[data-scroll] [data-head] [aria-current]")) {
  const [scrolled, beside] = [today.closest("[data-scroll]"), today.closest("[data-head]").firstElementChild];
  scrolled.scrollLeft += today.getBoundingClientRect().left - beside.getBoundingClientRect().right;
}
live.open();
live.poll();
