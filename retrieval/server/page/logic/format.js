// Numbers, dates and words as a reader sees them.

const MONTHS = "January February March April May June July August September October November December".split(" ");
const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

export const number = (n) => Math.round(n).toLocaleString("en-US");

/** Return "1 file" or "2 files". */
export const counted = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** Return seconds as 1:05 or 1:02:05. */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds || 0));
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  const rest = String(s % 60).padStart(2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${rest}` : `${m}:${rest}`;
}

/** Return bytes as 3.1 MB. */
export function bytes(n) {
  if (n == null) return "";
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (n >= size) return `${(n / size).toFixed(n >= 100 * size ? 0 : 1)} ${unit}`;
  }
  return `${n} bytes`;
}

/** Return the parts of a local ISO time, or null. */
export function dateParts(iso) {
  const match = /^(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d:\d\d))?)?/.exec(iso ?? "");
  if (!match) return null;
  const [, year, month, day, time] = match;
  const weekday = day ? DAYS[new Date(Date.UTC(+year, month - 1, +day)).getUTCDay()] : null;
  return { year, month: MONTHS[month - 1], day: day ? +day : null, time, weekday };
}

/** Return "14 January 2021". */
export function date(iso) {
  const parts = dateParts(iso);
  return parts ? [parts.day, parts.month, parts.year].filter(Boolean).join(" ") : "";
}

/** Return "January 2021" of "2021-01", or "Undated". */
export const monthName = (month) => (dateParts(month) ? date(month.slice(0, 7)) : "Undated");

/** Return "Sat 26" of a day of a month. */
export function dayName(month, day) {
  const parts = dateParts(`${month}-${String(day).padStart(2, "0")}`);
  return parts ? `${parts.weekday.slice(0, 3)} ${day}` : String(day);
}

export const STRONG = 0.9;
export const LIKELY = 0.75;

/** Return the level of a hit: "strong", "likely", "weak", or null without confidence. */
export function level(item) {
  const { confidence, match } = item;
  if (confidence == null) return match === "words" || match === "confident" ? "likely" : match;
  if (confidence >= STRONG) return "strong";
  return confidence >= LIKELY || match === "words" ? "likely" : "weak";
}

/** Return a confidence with two digits, at most 0.99: it is no probability. */
export const confidence = (c) => (c == null ? "" : Math.min(0.99, Math.floor(c * 100 + 1e-6) / 100).toFixed(2));

export const LEVELS = { strong: "Strong", likely: "Likely", weak: "Weak" };

/** Return "Strong 0.97", or "" without confidence. */
export function levelText(item) {
  const word = LEVELS[level(item)];
  return word ? `${word} ${confidence(item.confidence)}`.trim() : "";
}

export const KINDS = { image: "Photos", video: "Videos", page: "Pages", text: "Notes", audio: "Sounds" };
const KIND_NAMES = { image: "Photo", video: "Video", page: "Page", text: "Note", audio: "Sound" };

/** Return the accessible name of a tile. */
export function tileName(item) {
  const when = item.kind === "video" && item.start ? `at ${clock(item.start)}` : null;
  const page = item.page ? `page ${item.page}` : null;
  const parts = [KIND_NAMES[item.kind], item.caption || item.name, page, when, date(item.time)];
  parts.push(levelText(item).toLowerCase(), item.offline && "offline");
  if (item.more?.length) parts.push(`stack of ${item.more.length + 1}`);
  return parts.filter(Boolean).join(", ");
}

/** Return the text split at the words of a query: `[{text, marked}]`, beginning near the first match. */
export function marked(text, words, before = 60) {
  const pieces = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).filter(Boolean);
  const pattern = pieces.length ? new RegExp(`(?<![\\p{L}\\p{N}])(?:${pieces.join("|")})`, "giu") : null;
  const first = pattern ? text.search(pattern) : -1;
  if (first > before) {
    const space = text.indexOf(" ", first - before);
    text = `… ${text.slice(space < first ? space + 1 : first)}`;
  }
  if (!pattern) return [{ text, marked: false }];
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > end) parts.push({ text: text.slice(end, match.index), marked: false });
    parts.push({ text: match[0], marked: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), marked: false });
  return parts;
}
