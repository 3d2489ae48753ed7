// Brings the charts of a page to life: zoom, readout, switches, by pointer, by touch and by keyboard.
//
// A figure holds its static picture and its numbers (<script type="application/json">, made by report/figures). Where
// the numbers are lines, a chart of uPlot takes the picture's place; without scripts, and on paper, the picture stays.
// uPlot gives axes, cursor and zoom; the drawing is ours, so that a chart looks like its picture. Foreign words reach
// the page as textContent alone. unplateauCharts.hydrate(root) may be called again when parts of a page were replaced.
"use strict";
const unplateauCharts = (() => {
  const { short, labels, ticks, nearest, extent } = unplateauScales;
  const LEFT = 54, RIGHT = 18, INSET = 7, NEAR = 24; // pixels; INSET: room inside a field, so that no point is cut
  const STEP = 0.5; // of the view that one press of + keeps
  const HELP = "Drag to zoom, double-click to go back. With the keyboard: arrows move along the points, + and \u2212 zoom, 0 goes back, L switches the axis.";
  const SIGNS = { bump: "\u25bc", phase: "|", resume: "\u2506", lost: "\u2715", end: "\u2506", over: "\u25b2" };
  const kept = new Map(); // what a reader chose, by the place of the figure, for a page that is sent again
  const live = new Set();

  const element = (name, className, words) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (words !== undefined) made.textContent = words;
    return made;
  };

  class Chart {
    constructor(figure, data, place) {
      for (const track of data.panels.flatMap((panel) => panel.tracks))
        if (track.half !== undefined) for (const [edge, way] of [["low", -1], ["high", 1]])
          track[edge] = track.y.map((y) => (y === null ? null : y + way * track.half));
      Object.assign(this, { figure, data, place, plots: [], at: null });
      figure.chart = this;
      const before = kept.get(place) || {};
      this.log = before.log ?? data.log;
      this.hidden = before.hidden ?? new Set(data.panels.flatMap((p) => p.tracks).filter((t) => !t.shown).map((t) => t.key));
      this.view = before.view ?? null; // null is the first view
      this.build();
      this.draw();
      figure.classList.add("up-live");
      this.watcher = new ResizeObserver(() => this.resize());
      this.watcher.observe(this.field);
    }

    get tracks() { return this.data.panels.flatMap((panel) => panel.tracks); }
    get named() { return this.tracks.filter((track) => track.label); } // the others go with one that has a name
    get shown() { return this.named.filter((track) => this.shows(track)); }
    get futures() { return this.named.filter((track) => track.key.startsWith("future")); }
    shows(track) { return !this.hidden.has(track.key.replace(/_lr$/, "")); }
    get whole() { return [this.log ? this.data.whole[0] : 0, this.data.whole[1]]; }
    get range() {
      const [low, high] = this.view ?? this.data.view;
      return this.log ? [Math.max(low, this.data.whole[0]), high] : [low, high];
    }

    /** The range with room for half a point at both ends. */
    roomy() {
      const [low, high] = this.range.map((v) => this.bent(v)), field = this.field.clientWidth - LEFT - RIGHT;
      const room = ((high - low) * INSET) / Math.max(1, field - 2 * INSET);
      return [low - room, high + room].map((v) => this.unbent(v));
    }

    keep() { kept.set(this.place, { log: this.log, hidden: this.hidden, view: this.view }); }

    // ---- what stands on the page

    build() {
      const chart = element("div", "up-chart");
      chart.append(this.tools(), this.legend());
      this.readout = element("output", "up-readout");
      this.field = element("div", "up-plots");
      Object.assign(this.field, { tabIndex: 0 });
      const label = this.figure.querySelector("svg")?.getAttribute("aria-label") ?? "";
      for (const [name, value] of [["role", "group"], ["aria-roledescription", "chart"], ["aria-label", label]])
        this.field.setAttribute(name, value);
      this.field.addEventListener("keydown", (event) => this.pressed(event));
      chart.append(this.field, this.readout); // below: what grows must not move what is pointed at
      this.chart = chart;
      this.chart = chart;
      this.figure.append(chart);
    }

    tools() {
      const bar = element("div", "up-tools");
      bar.setAttribute("role", "group");
      bar.setAttribute("aria-label", "View");
      this.switches = [
        this.button(bar, "log axis", () => this.log, () => this.setLog(!this.log)),
        this.button(bar, "whole run", () => this.isWhole(), () => this.setView(this.isWhole() ? null : this.whole)),
      ];
      if (this.futures.length) this.switches.push(this.button(bar, "other futures", () => this.fanned(), () => this.fan(!this.fanned())));
      this.button(bar, "+", null, () => this.zoom(STEP), "zoom in");
      this.button(bar, "\u2212", null, () => this.zoom(1 / STEP), "zoom out");
      this.button(bar, "reset", null, () => this.setView(null), "show what was shown at first");
      return bar;
    }

    /** A button; with `state` it is a switch, pressed where that says so. */
    button(bar, words, state, act, label) {
      const made = element("button", "", words);
      made.type = "button";
      if (label) made.setAttribute("aria-label", label);
      made.addEventListener("click", act);
      bar.append(made);
      const update = () => state && made.setAttribute("aria-pressed", String(state()));
      update();
      return update;
    }

    legend() {
      const list = element("ul", "up-legend");
      for (const track of this.named) {
        const item = element("li"), made = element("button");
        made.type = "button";
        made.append(this.sample(track), element("span", "", track.label));
        made.setAttribute("aria-pressed", String(!this.hidden.has(track.key)));
        made.addEventListener("click", () => {
          if (!this.hidden.delete(track.key)) this.hidden.add(track.key);
          this.changed();
        });
        made.dataset.key = track.key;
        item.append(made);
        list.append(item);
      }
      for (const [kind, meaning] of Object.entries(this.data.signs)) {
        const item = element("li", "up-sign", `${SIGNS[kind] ?? ""} ${meaning}`);
        list.append(item);
      }
      this.names = list;
      return list;
    }

    /** How a track looks, drawn as the chart draws it. */
    sample(track) {
      const canvas = element("canvas", "up-sample"), ratio = Math.max(1, devicePixelRatio);
      Object.assign(canvas, { width: 22 * ratio, height: 12 * ratio });
      canvas.paint = () => {
        const pen = canvas.getContext("2d");
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.clearRect(0, 0, 22, 12);
        const points = track.mark !== "line" && track.mark !== "faint";
        const one = { ...track, x: points ? [11] : [1, 21], y: points ? [6] : [6, 6], low: track.low && (points ? [11] : [11, 11]), high: track.high && (points ? [1] : [1, 1]) };
        new UnplateauStrokes(pen, 1, (ink) => this.colour(ink)).track(one, (x) => x, (y) => y, 5);
      };
      canvas.setAttribute("aria-hidden", "true");
      return canvas;
    }

    // ---- what a reader chooses

    isWhole() { return this.view !== null && this.view[0] <= this.whole[0] && this.view[1] >= this.whole[1]; }
    fanned() { return this.futures.some((track) => !this.hidden.has(track.key)); }
    fan(on) {
      for (const { key } of this.futures) if (on) this.hidden.delete(key); else this.hidden.add(key);
      this.changed();
    }
    setLog(log) {
      const whole = this.isWhole();
      this.log = log;
      if (whole) this.view = this.whole;
      else if (this.view && log) this.view = [Math.max(this.view[0], this.data.whole[0]), this.view[1]];
      this.changed(true);
    }
    setView(view) {
      if (view) {
        const [least, most] = this.whole;
        view = [Math.max(view[0], least), Math.min(view[1], most)];
        if (!(view[1] - view[0] > 1e-9 * most)) return;
      }
      this.view = view;
      this.changed();
    }
    zoom(share) {
      const [low, high] = this.range.map((v) => this.bent(v));
      const middle = Math.min(Math.max(this.at === null ? (low + high) / 2 : this.bent(this.at), low), high);
      this.setView([low, high].map((v) => this.unbent(middle + (v - middle) * share)));
    }
    bent(x) { return this.log ? Math.log10(x) : x; }
    unbent(x) { return this.log ? 10 ** x : x; }

    changed(anew = false) {
      this.keep();
      for (const update of this.switches) update();
      for (const button of this.names.querySelectorAll("button")) button.setAttribute("aria-pressed", String(!this.hidden.has(button.dataset.key)));
      if (anew) this.draw(); else this.scale();
    }

    pressed(event) {
      const act = {
        ArrowRight: () => this.move(event.shiftKey ? 10 : 1), ArrowLeft: () => this.move(event.shiftKey ? -10 : -1),
        Home: () => this.move(-Infinity), End: () => this.move(Infinity),
        "+": () => this.zoom(STEP), "=": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP),
        0: () => this.setView(null), l: () => this.setLog(!this.log), L: () => this.setLog(!this.log),
        Escape: () => this.point(null),
      }[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    }

    /** To a point so many further along the first track that is shown; the view follows. */
    move(many) {
      const main = this.shown.find((track) => track.x.length && track.mark !== "faint");
      if (!main) return;
      const here = nearest(main.x, this.at ?? this.range[1]);
      const to = this.at === null && Math.abs(many) < Infinity ? here : here + many;
      const x = main.x[Math.min(Math.max(to, 0), main.x.length - 1)];
      const [low, high] = this.range;
      if (x < low || x > high) this.shift(x);
      this.readout.setAttribute("aria-live", "polite");
      this.point(Math.max(x, this.range[0]));
    }
    shift(x) {
      const [low, high] = this.range.map((v) => this.bent(v)), by = this.bent(Math.max(x, this.whole[0] || 0)) - (this.bent(x) < low ? low : high);
      if (Number.isFinite(by)) this.setView([this.unbent(low + by), this.unbent(high + by)]);
    }

    // ---- the charts

    draw() {
      for (const plot of this.plots) plot.destroy();
      this.field.replaceChildren();
      this.plots = this.data.panels.map((panel, i) => this.panel(panel, i));
      this.field.append(element("div", "up-label up-below", `${this.data.label} (${this.log ? "logarithmic" : "linear"} axis)`));
      for (const canvas of this.names.querySelectorAll("canvas")) canvas.paint();
      this.scale();
    }

    colour(ink) { return getComputedStyle(this.figure).getPropertyValue(`--up-${ink}`).trim() || "#000"; }

    height(i) { return i ? 84 : Math.max(260, Math.min(520, 0.42 * this.field.clientWidth)); }

    panel(panel, i) {
      const last = i === this.data.panels.length - 1, dim = this.colour("dim"), grid = { stroke: this.colour("grid"), width: 1 };
      this.field.append(element("div", "up-label", panel.label));
      const most = () => Math.max(2, Math.round(this.field.clientWidth / 90));
      const font = `12px ${getComputedStyle(this.figure).fontFamily}`;
      const plain = { stroke: dim, font, ticks: { show: false }, grid, filter: (_, splits) => splits };
      const options = {
        width: this.field.clientWidth, height: this.height(i) + (last ? 26 : 0), padding: [6, RIGHT, last ? 0 : 4, 0],
        legend: { show: false },
        scales: { x: { time: false, distr: this.log ? 3 : 1, range: (_, low, high) => [low, high] }, y: { distr: panel.log ? 3 : 1, range: (_, low, high) => [low, high] } },
        axes: [
          { ...plain, size: last ? 26 : 0, splits: (_, __, low, high) => ticks(low, high, this.log, most(), this.data.least), values: (_, splits) => (last ? labels(splits) : splits.map(() => "")) },
          { ...plain, size: LEFT, gap: 6, splits: (_, __, low, high) => ticks(low, high, panel.log, i ? 2 : 6), values: (_, splits) => labels(splits) },
        ],
        series: [{}, { paths: () => null, points: { show: false } }],
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => () => this.setView(null) } },
        hooks: {
          draw: [(plot) => this.paint(plot, panel, i === 0)],
          setCursor: [(plot) => this.pointed(plot)],
          setSelect: [(plot) => this.selected(plot)],
        },
      };
      const holder = element("div");
      this.field.append(holder);
      const [low, high] = this.roomy();
      return new uPlot(options, [[low, high], [panel.view[0], panel.view[1]]], holder);
    }

    scale() {
      const [min, max] = this.roomy();
      this.plots.forEach((plot, i) => {
        const [low, high] = this.vertical(this.data.panels[i]);
        plot.batch(() => { plot.setScale("x", { min, max }); plot.setScale("y", { min: low, max: high }); });
        plot.redraw(false, true);
      });
      this.point(this.at);
    }

    /** The panel's own range at first; of what is shown, where a reader has chosen another part. */
    vertical(panel) {
      if (this.view === null) return panel.view;
      const [low, high] = extent(panel.tracks.filter((track) => this.shows(track)), this.range);
      if (!(high > low)) return panel.view;
      if (panel.log) return [low / 1.2, high * 1.2];
      const room = 0.05 * (high - low);
      return panel.view[0] === 0 ? [0, high + room] : [low - room, high + room];
    }

    resize() {
      const width = this.field.clientWidth;
      if (!width || !this.plots.length || this.plots[0].width === width) return;
      this.plots.forEach((plot, i) => plot.setSize({ width, height: this.height(i) + (i === this.plots.length - 1 ? 26 : 0) }));
    }

    paint(plot, panel, flagged) {
      const { ctx: pen, bbox } = plot, ratio = devicePixelRatio || 1;
      const across = (x) => (this.log && !(x > 0) ? NaN : plot.valToPos(x, "x", true)), down = (y) => plot.valToPos(y, "y", true);
      pen.save();
      pen.beginPath();
      pen.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      pen.clip();
      const tracks = panel.tracks.filter((track) => this.shows(track));
      const inside = Math.max(...tracks.map((t) => t.x.length), 1);
      const size = inside > bbox.width / 8 / ratio ? 3 : inside > 30 ? 5 : 7, order = { faint: 0, line: 1 };
      const strokes = new UnplateauStrokes(pen, ratio, (ink) => this.colour(ink));
      for (const track of [...tracks].sort((a, b) => (order[a.mark] ?? 2) - (order[b.mark] ?? 2))) strokes.track(track, across, down, size);
      if (flagged) for (const track of tracks) strokes.over(track, across, plot.scales.y.max, this.range, bbox.top);
      if (flagged) for (const flag of this.data.flags) strokes.flag(flag, across, down, bbox);
      pen.restore();
    }

    // ---- cursor and readout

    pointed(plot) {
      if (this.busy || !this.plots.includes(plot)) return;
      const left = plot.cursor.left;
      this.readout.setAttribute("aria-live", "off");
      this.point(left === null || left < 0 ? null : plot.posToVal(left, "x"));
    }

    /** The cursor of every panel at `x`, and what stands there in words; none where `x` is null. */
    point(x) {
      this.at = x;
      this.busy = true;
      for (const plot of this.plots) plot.setCursor(x === null ? { left: -10, top: -10 } : { left: plot.valToPos(x, "x"), top: 10 });
      this.busy = false;
      this.readout.replaceChildren(...(x === null ? [element("span", "up-help", HELP)] : this.said(x)));
    }

    said(x) {
      const plot = this.plots[0], near = (value) => Math.abs(plot.valToPos(value, "x") - plot.valToPos(x, "x")) <= NEAR;
      const out = [element("b", "", `${short(Number(x.toPrecision(3)))} ${this.data.unit}`)];
      for (const track of this.shown) {
        if (!track.x.length) continue;
        const i = nearest(track.x, x), line = track.mark === "line" && x >= track.x[0] && x <= track.x[track.x.length - 1];
        if (track.y[i] === null || !(line || near(track.x[i]))) continue;
        const digits = (v) => (Math.abs(v) < 0.01 ? v.toPrecision(3) : v.toFixed(Math.max(0, 3 - Math.floor(Math.log10(Math.abs(v))))));
        const sure = track.low && track.low[i] !== null ? ` (${digits(track.low[i])} to ${digits(track.high[i])})` : "";
        const one = element("span", "", `${track.label.split(" (")[0]}: ${digits(track.y[i])}${sure}`);
        out.push(one);
      }
      for (const flag of this.data.flags) if (near(flag.x) && Math.abs(plot.valToPos(flag.x, "x") - plot.valToPos(x, "x")) < 6) out.push(element("i", "", flag.label));
      return out;
    }

    selected(plot) {
      const { left, width } = plot.select;
      if (width < 4) return;
      const view = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this.setView(view);
    }

    destroy() {
      this.watcher.disconnect();
      for (const plot of this.plots) plot.destroy();
      this.chart.remove();
      this.figure.classList.remove("up-live");
    }
  }

  const hydrate = (root = document) => {
    for (const chart of live) if (!chart.figure.isConnected) { chart.destroy(); live.delete(chart); }
    const places = new Map();
    for (const figure of root.querySelectorAll("figure[data-figure]")) {
      const name = figure.dataset.figure, held = figure.querySelector('script[type="application/json"]');
      places.set(name, (places.get(name) ?? 0) + 1);
      if (figure.classList.contains("up-live") || !held) continue;
      const data = JSON.parse(held.textContent);
      if (data.kind === "lines") live.add(new Chart(figure, data, `${name} ${places.get(name)}`));
    }
  };

  const redraw = () => { for (const chart of live) chart.draw(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  hydrate();
  return { hydrate, redraw };
})();
