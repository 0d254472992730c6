// Geometry of the map: what a lasso contains, and where names have room.

/** Return a function that tells if a point is in a polygon. */
export const inside = (polygon) => (x, y) => {
  let isIn = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [a, b] = polygon[i], [c, d] = polygon[j];
    if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) isIn = !isIn;
  }
  return isIn;
};

/** Return a drawn outline with at most 48 points, so that it fits in an address. */
export function thinLasso(points, most = 48) {
  const step = Math.max(1, points.length / most);
  return Array.from({ length: Math.min(points.length, most) }, (_, i) => points[Math.floor(i * step)]);
}

/** Return the names, largest first, that overlap neither each other nor the lasso, nor what is `taken`. */
export function nearestNames(names, toScreen, { width, height, taken = [], most, lasso, pictures }) {
  const boxes = [...taken], placed = [];
  if (lasso) {
    const points = lasso.map(([x, y]) => toScreen(x, y)), xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
    boxes.push([Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]);
  }
  for (const name of [...names].sort((a, b) => b.count - a.count)) {
    if (placed.length >= most) break;
    const hasPicture = placed.length < pictures, [left, top] = toScreen(name.x, name.y);
    const w = Math.max(44, name.text.length * 7.4 + 16) / 2, h = hasPicture ? 40 : 18;
    const box = [left - w, top - h, left + w, top + h];
    const isFree = box[0] > 0 && box[1] > 0 && box[2] < width && box[3] < height && !boxes.some((o) => box[0] < o[2] && box[2] > o[0] && box[1] < o[3] && box[3] > o[1]);
    if (!isFree) continue;
    boxes.push(box);
    placed.push({ name, left, top, hasPicture });
  }
  return placed;
}

/** Return the places of the `count` points nearest to one, nearest first. */
export function nearestPoints({ x, y }, xs, ys, count) {
  const distances = Float64Array.from(xs, (value, i) => (value - x) ** 2 + (ys[i] - y) ** 2);
  return Array.from(xs.keys()).sort((a, b) => distances[a] - distances[b]).slice(0, count);
}

/** Return the name that is nearest to a point. */
export const nearestName = (names, x, y) =>
  names.reduce((best, name) => (!best || (name.x - x) ** 2 + (name.y - y) ** 2 < (best.x - x) ** 2 + (best.y - y) ** 2 ? name : best), null);
