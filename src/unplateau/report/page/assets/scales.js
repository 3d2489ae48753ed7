// Round numbers for axes, and places in series: what report/figures/scale.py does for the pictures.
"use strict";
const unplateauScales = (() => {
  const DECADE = 0.7; // decades; over less, a logarithmic axis has round numbers like a linear one

  const short = (n) => { // as scale.short
    const size = Math.abs(n);
    if (n === 0) return "0";
    if (size >= 1e15 || size < 1e-4) return Number(n.toPrecision(4)).toExponential();
    for (const [least, unit, letter] of [[1e12, 1e12, "T"], [1e9, 1e9, "B"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]])
      if (size >= least) return `${Number((n / unit).toPrecision(4))}${letter}`;
    return size >= 1000 ? Math.round(n).toLocaleString("en-US") : `${Number(n.toPrecision(4))}`;
  };

  const labels = (values) => { // as scale.labels: so many characters that no two look the same
    let said = values.map(short);
    for (let places = 0; new Set(said).size < new Set(values).size && places <= 12; places++)
      said = values.map((v) => v.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places }));
    return said;
  };

  const evenly = (low, high, most, least) => {
    const rough = Math.max((high - low) / Math.max(1, most), least);
    if (!(rough > 0) || !Number.isFinite(rough)) return [low];
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9 && out.length < 50; i++)
      out.push(Number((i * step).toPrecision(12)));
    return out;
  };

  const decades = (low, high, most) => {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    for (const digits of [[1, 2, 5], [1, 3], [1]]) {
      const found = [];
      for (let p = first; p <= last; p++) for (const d of digits) found.push(Number(`${d}e${p}`));
      const inside = found.filter((t) => t >= low * 0.999 && t <= high * 1.001);
      if (inside.length <= most) return inside;
      if (digits.length === 1) return inside.filter((_, i) => i % Math.ceil(inside.length / most) === 0);
    }
    return [];
  };

  const ticks = (low, high, log, most, least = 0) =>
    log && Math.log10(high / low) > DECADE ? decades(low, high, most) : evenly(low, high, most, least);

  /** The place of the value of `sorted` that is nearest to `x`. */
  const nearest = (sorted, x) => {
    let low = 0, high = sorted.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < x) low = middle; else high = middle;
    }
    return Math.abs(sorted[low] - x) <= Math.abs(sorted[high] - x) ? low : high;
  };

  const extent = (tracks, [first, last]) => {
    let low = Infinity, high = -Infinity;
    for (const { x, y } of tracks)
      for (let i = 0; i < x.length; i++)
        if (y[i] !== null && x[i] >= first && x[i] <= last) { low = Math.min(low, y[i]); high = Math.max(high, y[i]); }
    return [low, high];
  };

  return { short, labels, ticks, nearest, extent };
})();
