// How the parts of a chart look: what report/figures/marks.py does for the pictures. Lengths are pixels of the canvas:
// those of the page times `ratio`. `across` and `down` turn values into places, `colour` a kind of ink into a colour.
"use strict";
class UnplateauStrokes {
  static DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [5, 2, 1, 2, 1, 2]]; // as draw.DASHES
  static MANY = 12; // signs of one kind at most, as marks.FLAGGED

  constructor(pen, ratio, colour) { Object.assign(this, { pen, ratio, colour }); }

  track(track, across, down, size) {
    const { pen, ratio } = this;
    const { x, y, low, high } = track, colour = this.colour(track.ink);
    Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineCap: "round", lineJoin: "round", globalAlpha: 1 });
    pen.setLineDash([]);
    if (low && high && !track.bars) this.band(x.map(across), low.map(down), high.map(down));
    if (track.mark === "line" || track.mark === "faint") {
      Object.assign(pen, { lineWidth: (track.mark === "faint" ? 1 : track.width) * ratio, globalAlpha: track.mark === "faint" ? 0.45 : 1 });
      pen.setLineDash(UnplateauStrokes.DASHES[track.dash].map((d) => d * ratio));
      pen.beginPath();
      let pending = true;
      for (let i = 0; i < x.length; i++) {
        const a = across(x[i]), b = y[i] === null ? NaN : down(y[i]);
        if (!Number.isFinite(a) || !Number.isFinite(b)) { pending = true; continue; }
        if (pending) pen.moveTo(a, b); else pen.lineTo(a, b);
        pending = false;
      }
      pen.stroke();
    } else this.points(track, across, down, size);
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  band(x, low, high) {
    const { pen } = this;
    const good = x.map((_, i) => i).filter((i) => [x[i], low[i], high[i]].every(Number.isFinite));
    pen.globalAlpha = 0.14;
    pen.beginPath();
    for (const i of good) pen.lineTo(x[i], high[i]);
    for (const i of good.reverse()) pen.lineTo(x[i], low[i]);
    pen.fill();
    pen.globalAlpha = 1;
  }

  points(track, across, down, size) {
    const { pen, ratio } = this;
    const { x, y, low, high } = track, half = size * 0.6 * ratio;
    pen.lineWidth = 1.2 * ratio;
    pen.beginPath();
    for (let i = 0; i < x.length; i++) {
      const a = across(x[i]), b = y[i] === null ? NaN : down(y[i]);
      if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
      if (track.bars && low && high) { pen.moveTo(a, down(low[i])); pen.lineTo(a, down(high[i])); }
      if (track.mark === "crosses") { pen.moveTo(a - half, b); pen.lineTo(a + half, b); pen.moveTo(a, b - half); pen.lineTo(a, b + half); }
      if (track.mark === "slants") { pen.moveTo(a - half * 0.8, b - half * 0.8); pen.lineTo(a + half * 0.8, b + half * 0.8); pen.moveTo(a + half * 0.8, b - half * 0.8); pen.lineTo(a - half * 0.8, b + half * 0.8); }
    }
    pen.stroke();
    if (track.mark !== "dots") return;
    for (let i = 0; i < x.length; i++) {
      const a = across(x[i]), b = y[i] === null ? NaN : down(y[i]);
      if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
      pen.beginPath();
      pen.arc(a, b, (size * ratio) / 2, 0, 2 * Math.PI);
      pen.fill();
    }
  }

  /** Wedges at the upper edge for measured points beyond it, the highest first. */
  over(track, across, highest, [low, high], top) {
    const { pen, ratio } = this;
    if (track.mark === "line") return;
    const half = 4.5 * ratio;
    const above = track.y.map((y, i) => i).filter((i) => track.y[i] > highest && track.x[i] >= low && track.x[i] <= high);
    pen.fillStyle = this.colour(track.ink);
    for (const i of above.sort((a, b) => track.y[b] - track.y[a]).slice(0, UnplateauStrokes.MANY)) {
      const x = across(track.x[i]), y = top + ratio;
      pen.beginPath();
      pen.moveTo(x, y); pen.lineTo(x + half, y + 1.6 * half); pen.lineTo(x - half, y + 1.6 * half);
      pen.fill();
    }
  }

  flag(flag, across, down, { top, height }) {
    const { pen, ratio } = this;
    const x = across(flag.x);
    if (!Number.isFinite(x)) return;
    const line = (a, b) => { pen.beginPath(); pen.moveTo(x, a); pen.lineTo(x, b); pen.stroke(); };
    const colour = this.colour({ bump: "spike", lost: "bad" }[flag.kind] ?? "dim");
    Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineWidth: ratio });
    pen.setLineDash(flag.kind === "resume" || flag.kind === "lost" ? [5 * ratio, 4 * ratio] : []);
    if (flag.kind === "bump") {
      const tip = Math.max(down(flag.y) - 5 * ratio, top + 8 * ratio), half = 4.5 * ratio;
      pen.beginPath();
      pen.moveTo(x, tip); pen.lineTo(x + half, tip - 1.6 * half); pen.lineTo(x - half, tip - 1.6 * half);
      pen.fill();
    } else if (flag.kind === "phase") line(top + height - 9 * ratio, top + height);
    else line(top, top + height);
    pen.setLineDash([]);
  }
}
