/* The live page: keeps what is shown as the server has it. No library; nothing from elsewhere.

   One stream of events for all tabs of a browser: HTTP/1.1 allows six connections to one server, and each stream
   holds one. The tab that has the lock listens and tells the others; when it is closed, another gets the lock.
   An event holds names, not contents: a tab fetches what it shows, when it is looked at. */
"use strict";
(() => {
  const root = document.body.dataset.root; // the way to the top: "" or "../"
  const kind = document.body.dataset.page; // "runs" or "run"
  const mine = document.body.dataset.run; // the address of the run that is shown
  const LIST = "runs"; // the name of what stands above the list
  const TICK = 1000; // ms between two looks at the clock
  const READING = 4000; // ms; so long an update waits for somebody who marks text
  let seen = document.body.dataset.mark; // all up to this mark is shown, or in `due`
  const due = new Set();
  let busy = false;
  let held = 0;
  let pressed = false;

  /* ---- what is new ---- */

  function heard(message) {
    if (message.state) return told(message.state);
    seen = message.mark;
    for (const name of message.names) due.add(name);
    if (document.getElementById("state").dataset.state !== "gone") told("live");
    work();
  }

  function wanted() {
    if (kind === "run") return due.has(mine) || due.has(`${mine}/main`) || due.has(LIST);
    return due.size > 0;
  }

  async function work() {
    if (busy || document.hidden || !wanted()) return;
    if (reading()) return void setTimeout(work, 500);
    busy = true;
    let rest = 100;
    const names = [...due];
    due.clear();
    try {
      await (kind === "run" ? run(names) : runs(names));
    } catch (error) {
      if (!(error instanceof TypeError)) console.error(error); // TypeError: the server is gone; the stream tells
      for (const name of names) due.add(name);
      rest = 2000;
    }
    busy = false;
    if (wanted()) setTimeout(work, rest);
  }

  // somebody marks text in the page, or draws in a chart: that must not be replaced under the hand, but not for ever
  function reading() {
    const marked = document.getSelection();
    const now = pressed || (marked && !marked.isCollapsed && document.querySelector("main").contains(marked.anchorNode));
    if (!now) return void (held = 0);
    held ||= Date.now();
    return Date.now() - held < READING;
  }

  async function fetched(path) {
    const answer = await fetch(root + path, { cache: "no-store", referrerPolicy: "no-referrer" });
    if (answer.status === 404) return null;
    if (answer.status === 503) throw new Error("too many connections");
    return answer;
  }

  function parsed(html) {
    const box = document.createElement("template");
    box.innerHTML = html; // made and escaped by report/page/html.py; scripts in it don't run, and the policy forbids them
    return box.content;
  }

  /* ---- the page of a run ---- */

  async function run(names) {
    if (names.includes(LIST) && !root && (await moved())) return;
    if (names.includes(mine)) {
      const answer = await fetched(`run/${mine}/line`);
      if (answer === null) return told("gone");
      const found = await answer.json();
      told("live");
      document.getElementById("line").replaceChildren(parsed(found.line));
      verdict(found.verdict);
    }
    if (names.includes(`${mine}/main`)) {
      const answer = await fetched(`run/${mine}/main`);
      if (answer === null) return told("gone");
      swap(document.querySelector("main"), parsed(await answer.text()));
    }
    clock();
  }

  // at once, as plain words; the whole page takes a second to be made
  function verdict(words) {
    const place = document.querySelector("main .verdict");
    if (place && words && place.textContent !== words) place.textContent = words;
    say(words);
  }

  // the page at the top shows the only run; where there are others now, it is the list
  async function moved() {
    const answer = await fetched("rows");
    const many = (await answer.json()).order.length !== 1;
    if (many) location.reload();
    return many;
  }

  // the new contents take the place of the old: a picture with the same numbers stays as it is, the others keep what
  // was chosen in them (charts.js); what was open stays open, and where one was
  function swap(main, fresh) {
    const top = scrollY;
    const back = path(main, document.activeElement);
    for (const old of main.querySelectorAll("details[id]")) {
      const now = fresh.getElementById(old.id);
      if (now) now.open = old.open;
    }
    const figures = [...fresh.querySelectorAll(FIGURE)];
    for (const old of main.querySelectorAll(FIGURE)) {
      const now = figures.find((figure) => figure.dataset.figure === old.dataset.figure);
      if (now && numbers(now) === numbers(old)) now.replaceWith(old);
    }
    main.replaceChildren(fresh);
    if (typeof unplateauCharts !== "undefined") unplateauCharts.hydrate();
    back?.(main)?.focus({ preventScroll: true });
    scrollTo({ top, behavior: "instant" });
    say(main.querySelector(".verdict")?.textContent);
  }

  const FIGURE = "figure[data-figure]";
  const numbers = (figure) => figure.querySelector('script[type="application/json"]')?.textContent;

  // how to find again what has the focus: by its id, else as the n-th thing to focus in its figure, else by its link
  function path(main, active) {
    if (!main.contains(active)) return null;
    if (active.id) return () => document.getElementById(active.id);
    const figure = active.closest(FIGURE);
    if (!figure) return (now) => active.href && [...now.querySelectorAll("a")].find((link) => link.href === active.href);
    const stops = (within) => [...within.querySelectorAll("button, [tabindex]")];
    const place = stops(figure).indexOf(active);
    return (now) => {
      const same = now.querySelector(`figure[data-figure="${CSS.escape(figure.dataset.figure)}"]`);
      return same && stops(same)[place];
    };
  }

  /* ---- the list ---- */

  async function runs(names) {
    const answer = await fetched(`rows?of=${names.filter((name) => name !== LIST && !name.includes("/")).join(",")}`);
    const found = await answer.json();
    if (found.order.length === 1 && !document.querySelector("tbody tr")) return location.reload();
    if (!document.querySelector("table.runs")) return found.order.length && location.reload();
    document.getElementById("summary").replaceWith(parsed(found.summary));
    for (const [place, html] of Object.entries(found.rows)) renew(place, html);
    order = found.order;
    arrange();
    clock();
    say(document.getElementById("summary").textContent);
  }

  function renew(place, html) {
    const old = document.getElementById(`run-${place}`);
    const fresh = parsed(html).querySelector("tr");
    if (!fresh) return old?.remove();
    if (!old) return document.querySelector("table.runs tbody").append(fresh);
    const focused = old.contains(document.activeElement);
    old.replaceWith(fresh);
    if (focused) fresh.querySelector("a").focus({ preventScroll: true });
  }

  let order = []; // as the server has it; empty until an event came: then as the page came
  const sorting = { by: "state", down: false };

  function arrange() {
    const body = document.querySelector("table.runs tbody");
    if (!body) return;
    const rows = [...body.rows];
    if (sorting.by === "state" && !sorting.down && order.length) {
      const places = new Map(order.map((place, i) => [`run-${place}`, i]));
      rows.sort((a, b) => places.get(a.id) - places.get(b.id));
    } else rows.sort((a, b) => compared(value(a), value(b)) * (sorting.down ? -1 : 1));
    // only what stands elsewhere is moved: a row that is pointed at stays under the pointer
    rows.forEach((row, i) => body.rows[i] !== row && body.insertBefore(row, body.rows[i]));
    sift();
  }

  const value = (row) => row.querySelector(`.c-${sorting.by}`).dataset.order;

  function compared(a, b) {
    if (a === "" || b === "") return a === b ? 0 : a === "" ? (sorting.down ? -1 : 1) : sorting.down ? 1 : -1;
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
  }

  function sorter(button) {
    const by = button.dataset.sort;
    sorting.down = sorting.by === by && !sorting.down;
    sorting.by = by;
    for (const other of document.querySelectorAll("th button[data-sort]")) {
      const now = other === button ? (sorting.down ? "descending" : "ascending") : null;
      now ? other.parentNode.setAttribute("aria-sort", now) : other.parentNode.removeAttribute("aria-sort");
    }
    arrange();
  }

  function sift() {
    const box = document.getElementById("sift");
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.querySelectorAll("table.runs tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  }

  /* ---- the clock, the state of the connection, and what is read aloud ---- */

  function clock() {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[datetime]")) {
      time.title ||= time.textContent;
      time.textContent = ago((now - Date.parse(time.dateTime)) / 1000);
    }
  }

  function ago(s) {
    if (s < 5) return "now";
    if (s < 90) return `${Math.round(s)} s ago`;
    if (s < 5400) return `${Math.round(s / 60)} min ago`;
    if (s < 129600) return `${Math.round(s / 3600)} h ago`;
    return `${Math.round(s / 86400)} d ago`;
  }

  const WORDS = {
    live: "live",
    lost: "connection lost, trying again",
    ended: "the watch has ended: this is how it stood",
    gone: "this run is not there any more",
  };

  function told(state) {
    const place = document.getElementById("state");
    if (place.dataset.state === state || place.dataset.state === "ended") return;
    place.dataset.state = state;
    place.textContent = WORDS[state];
  }

  let spoken = "";

  function say(words) {
    if (!words || words === spoken) return;
    if (spoken) document.getElementById("news").textContent = words;
    spoken = words;
  }

  /* ---- the stream ---- */

  const channel = new BroadcastChannel(new URL(root || ".", location.href).pathname);
  channel.onmessage = ({ data }) => heard(data);

  function listen() {
    return new Promise((end) => {
      const stream = new EventSource(`${root}events?than=${seen}`);
      const tell = (message) => (heard(message), channel.postMessage(message));
      stream.addEventListener("changed", ({ data, lastEventId }) => tell({ mark: lastEventId, names: JSON.parse(data) }));
      stream.addEventListener("ended", () => (stream.close(), tell({ state: "ended" }), end()));
      stream.onopen = () => tell({ state: "live" });
      stream.onerror = () => stream.readyState === EventSource.CLOSED ? (tell({ state: "lost" }), setTimeout(end, TICK)) : tell({ state: "lost" });
    });
  }

  async function lead() {
    while (document.getElementById("state").dataset.state !== "ended") await listen();
  }

  // what happened between the making of the page and now, or while the tab slept
  async function catchUp() {
    try {
      const answer = await fetched(`newer?than=${seen}`);
      heard(await answer.json());
    } catch {
      told("lost");
    }
  }

  document.addEventListener("pointerdown", () => (pressed = true));
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (pressed = false));
  document.addEventListener("visibilitychange", () => document.hidden || catchUp());
  addEventListener("pageshow", (event) => event.persisted && catchUp());
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sort]");
    if (button) sorter(button);
  });
  document.getElementById("sift")?.addEventListener("input", sift);
  setInterval(() => document.hidden || clock(), TICK);
  clock();
  say((document.querySelector("main .verdict") || document.getElementById("summary"))?.textContent);
  if (navigator.locks) navigator.locks.request(`${channel.name}events`, lead);
  else lead();
  catchUp();
})();
