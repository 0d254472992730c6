// Justified rows: heights are known before any picture arrives, and the same ids give the same rows.

export const PHONE = 768;

/** Return the measures of a viewport in pixels, as in page.css. */
export function measures(width) {
  const phone = width < PHONE;
  return {
    phone,
    target: width >= 1800 ? 190 : width >= 1200 ? 160 : phone ? 104 : 140,
    gap: phone ? 3 : 6,
    left: phone ? 12 : 24,
    right: phone ? 26 : width < 1200 ? 96 : 112,
    head: phone ? 60 : 64,
    bar: phone ? 44 : 48,
  };
}

const FIXED_RATIOS = { text: 1.6, audio: 1.5, page: 1.08 };

/** Return the ratio of width and height of an item's tile: a panorama is cropped. */
export function tileRatio(item) {
  const ratio = FIXED_RATIOS[item.kind] ?? item.ratio ?? 1.4;
  return Math.min(2.4, Math.max(0.5, ratio > 0 ? ratio : 1.4));
}

const distance = (height, target) => Math.abs(Math.log(height / target));

/** Return rows `{from, to, height, widths}` that fill `width`; tiles `from..to - 1` are in a row. */
export function justify(ratios, width, target, gap) {
  const rows = [];
  let from = 0;
  while (from < ratios.length) {
    let to = from, sum = 0, height = Infinity;
    while (to < ratios.length && height > target) {
      sum += ratios[to++];
      height = (width - (to - from - 1) * gap) / sum;
    }
    if (height > target && target * sum < 0.74 * width) {
      rows.push({ from, to, height: target, widths: ratios.slice(from, to).map((r) => Math.round(r * target)) });
      break;
    }
    if (height <= target && to - from > 1) {
      const shorter = sum - ratios[to - 1];
      const before = (width - (to - from - 2) * gap) / shorter;
      if (before <= 1.35 * target && distance(before, target) < distance(height, target)) {
        to--;
        sum = shorter;
        height = before;
      }
    }
    rows.push(filledRow(ratios, { from, to, sum, width, gap }, clampHeight(height, target)));
    from = to;
  }
  return rows;
}

const clampHeight = (height, target) => Math.round(Math.min(1.35 * target, Math.max(0.75 * target, height)));

function filledRow(ratios, { from, to, sum, width, gap }, height) {
  const space = width - (to - from - 1) * gap;
  const widths = ratios.slice(from, to).map((r) => Math.floor((r / sum) * space));
  widths[widths.length - 1] += space - widths.reduce((a, b) => a + b, 0);
  return { from, to, height, widths };
}

/** Return the height that `count` tiles of ratio 1.4 probably need. */
export function estimatedHeight(count, width, target, gap) {
  const rows = Math.ceil((count * (1.4 * target + gap)) / (width + gap));
  return rows * (target + gap);
}

export const BAND = 26;

/** Return the labels `{index, x, room, text, folder}` of the days that begin in a row of dated items.

A label that another one follows within 64 pixels is dropped; `room` is its width up to the next one. */
export function dayLabels(items, row, gap, dayName) {
  const labels = [];
  let x = 0;
  for (let i = row.from; i < row.to; i++) {
    if (items[i].day && (i === 0 || items[i - 1].day !== items[i].day)) {
      labels.push({ index: i, x, text: dayName(items[i]), folder: onlyFolder(items, i) });
    }
    x += row.widths[i - row.from] + gap;
  }
  return labels.map((label, n) => ({ ...label, room: (labels[n + 1]?.x ?? x) - label.x - gap })).filter((label, n) => !labels[n + 1] || label.room + gap >= 64);
}

function onlyFolder(items, first) {
  const { day, folder } = items[first];
  for (let i = first + 1; i < items.length && items[i].day === day; i++) {
    if (items[i].folder !== folder) return null;
  }
  return folder || null;
}

/** Return the place of rows `{top, height, band, ...}` below each other, and their total height. */
export function stackRows(rows, gap, hasBand) {
  let top = 0;
  const placed = rows.map((row) => {
    const band = hasBand?.(row) ? BAND : 0;
    const place = { ...row, band, top: top + band };
    top += band + row.height + gap;
    return place;
  });
  return { rows: placed, height: Math.max(0, top - gap) };
}
