// Scales of the rail: from the place in the grid to the place on the rail and back, and the shape of the thread.

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Return the scale of hits: confident ones take `share` of the rail, so that the knot is always in sight. */
export function confidenceScale(confident, weak, railHeight) {
  const share = !weak ? 1 : !confident ? 0 : clamp(confident / (confident + weak), 0.55, 0.85);
  const knot = share * railHeight;
  return {
    knot,
    share,
    toRail: (y) =>
      y <= confident
        ? (confident ? clamp(y / confident, 0, 1) : 1) * knot
        : knot + (weak ? clamp((y - confident) / weak, 0, 1) : 1) * (railHeight - knot),
    toOffset: (at) =>
      at <= knot
        ? (knot ? clamp(at / knot, 0, 1) : 1) * confident
        : confident + clamp((at - knot) / (railHeight - knot || 1), 0, 1) * weak,
  };
}

/** Return the width of the thread at a confident hit. */
export const threadWidth = (confidence) => 3 + 10 * clamp((confidence - 0.75) / 0.25, 0, 1) ** 0.8;

/** Return the width of the thread at a share of the weak hits. */
export const weakWidth = (share) => 3 - 1.8 * share;

/** Return months `{from, to, width}` and years `{year, count, at}` on the rail. */
export function timeScale(months, railHeight) {
  const total = months.reduce((sum, month) => sum + month.count, 0) || 1;
  const years = new Map();
  for (const month of months) years.set(month.year, (years.get(month.year) ?? 0) + month.count);
  const least = Math.min(36, railHeight / years.size);
  const heights = yearHeights([...years.values()], total, railHeight, least);
  const max = Math.max(...months.map((month) => month.count), 1);
  const marks = [], spans = [];
  let at = 0, position = 0;
  for (const [year, count] of years) {
    const height = heights[position++];
    marks.push({ year, count, at });
    for (const month of months.filter((other) => other.year === year)) {
      const span = (height * month.count) / count;
      spans.push({ ...month, from: at, to: at + span, width: 1.8 + 10.7 * Math.sqrt(month.count / max) });
      at += span;
    }
  }
  return { years: marks, months: spans };
}

function yearHeights(counts, total, railHeight, least) {
  const short = counts.map((count) => (count / total) * railHeight < least);
  const rest = railHeight - least * short.filter(Boolean).length;
  const restCount = counts.reduce((sum, count, i) => sum + (short[i] ? 0 : count), 0) || 1;
  const heights = counts.map((count, i) => (short[i] ? least : Math.max(least, (count / restCount) * rest)));
  const scale = railHeight / heights.reduce((sum, height) => sum + height, 0);
  return heights.map((height) => height * scale);
}

/** Return the labels that are at least `gap` pixels below the label before them. */
export function thinned(labels, gap = 36) {
  const kept = [];
  for (const label of labels) if (!kept.length || label.at - kept.at(-1).at >= gap) kept.push(label);
  return kept;
}

/** Return at most `count` of the points, first and last included. */
export function sampled(points, count = 120) {
  if (points.length <= count) return points;
  return Array.from({ length: count }, (_, i) => points[Math.round((i * (points.length - 1)) / (count - 1))]);
}

/** Return the closed path of a thread around x = `center` through points `{y, width}`. */
export function ribbon(points, center) {
  if (points.length < 2) return "";
  const side = (list, sign) => {
    const at = (p) => `${(center + (sign * p.width) / 2).toFixed(2)} ${p.y.toFixed(1)}`;
    let path = at(list[0]);
    for (let i = 1; i < list.length; i++) {
      const middle = ((list[i - 1].y + list[i].y) / 2).toFixed(1);
      const x0 = (center + (sign * list[i - 1].width) / 2).toFixed(2);
      const x1 = (center + (sign * list[i].width) / 2).toFixed(2);
      path += `C${x0} ${middle} ${x1} ${middle} ${at(list[i])}`;
    }
    return path;
  };
  return `M${side(points, -1)}L${side([...points].reverse(), 1)}Z`;
}
