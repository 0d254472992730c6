// Hits of a search, as sections: by level, or confident ones by month.

import { dayName, level, LEVELS, monthName, number } from "../logic/format.js";
import { search } from "./api.js";

const FIRST = 100; // hits of the first request: about three screens
const NEXT = 200;
const MOST = 1000; // hits of one request
export const WEAK = 40; // weak hits that are shown at once

/** Request the hits of a line; throws as `request` does. */
export async function fetchResults(line, signal, { isAll } = {}) {
  return new Results(line, await search({ q: line, count: isAll ? MOST : FIRST }, signal));
}

/** Return an item of the server as the page shows it. */
export const asShown = (item) => withMoments(withImage(item));

/** Return a caption as the image that it describes, text in an image as the image, and speech as its video. */
function withImage(item) {
  if (item.kind !== "text") return item;
  if (item.source && !item.timed) return { ...item, kind: "image", thumbnail: true, caption: item.text };
  if (item.ratio == null) return item;
  return item.timed ? { ...item, kind: "video", found: "text" } : { ...item, kind: "image", found: "text", caption: item.text };
}

/** Return a hit with its confident moments; frames of the same video are moments, not members of a stack. */
function withMoments(item) {
  if (item.kind !== "video" && item.kind !== "audio") return item;
  const own = (item.more ?? []).filter((other) => other.path === item.path);
  const known = new Set((item.moments ?? []).map((moment) => moment.id));
  const moments = [...(item.moments ?? []), ...own.filter((other) => !known.has(other.id))];
  return { ...item, more: item.more.filter((other) => other.path !== item.path), moments: moments.filter((moment) => level(moment) !== "weak") };
}

export class Results {
  constructor(line, answer) {
    Object.assign(this, { line, answer, order: "score", items: [], weakShown: WEAK, inside: null });
    this.add(answer);
    this.hasLevels = this.items.some((item) => level(item));
  }

  add(answer) {
    const known = new Set(this.items.map((item) => item.id));
    this.items.push(...answer.items.filter((item) => !known.has(item.id)).map(asShown));
    this.cursor = answer.cursor;
  }

  /** Request the next hits; false if there are no more or they are on the way. */
  async more(count = NEXT) {
    if (!this.cursor || this.loading) return false;
    this.loading = true;
    try {
      this.add(await search({ q: this.line, count, cursor: this.cursor }));
    } finally {
      this.loading = false;
    }
    return true;
  }

  /** Request all confident hits, up to a limit: by date, all of them must be known. */
  async complete() {
    while (this.missing() && this.items.length < MOST) if (!(await this.more(MOST - FIRST))) return;
  }

  of(name) {
    return this.visible().filter((item) => level(item) === name);
  }

  visible() {
    return this.inside ? this.items.filter((item) => this.inside.has(item.id)) : this.items;
  }

  strongAndLikely() {
    return this.visible().filter((item) => ["strong", "likely"].includes(level(item)));
  }

  get confident() {
    return this.strongAndLikely().length;
  }

  /** Return a guess of the number of confident hits that are not loaded: answers count only their own. */
  missing() {
    const last = this.items.at(-1);
    return this.cursor && !this.inside && last && level(last) !== "weak" ? NEXT : 0;
  }

  /** Return the number of confident hits of each kind. */
  kinds() {
    const counts = {};
    for (const { kind, found = kind } of this.hasLevels ? this.strongAndLikely() : this.visible()) counts[found] = (counts[found] ?? 0) + 1;
    return counts;
  }

  /** Return true if button "40 more" has more to show. */
  hasMoreWeak() {
    return !this.missing() && (this.of("weak").length > this.weakShown || Boolean(this.cursor));
  }

  /** Return the sections of the grid; `load` is called when the reader nears hits that are not loaded. */
  sections(load) {
    if (!this.hasLevels) return [this.plainSection(load)].filter((section) => section.items.length);
    const found = this.order === "date" ? this.months() : this.levels();
    const missing = this.missing();
    if (missing && found.length) Object.assign(found.at(-1), { total: found.at(-1).items.length + missing, load });
    if (!missing) {
      const weak = this.of("weak").slice(0, this.weakShown);
      if (weak.length) found.push(this.weakSection(weak, found.length > 0));
    }
    return found;
  }

  plainSection(load) {
    const items = this.visible();
    const total = this.cursor ? items.length + NEXT : items.length;
    return { key: "all", title: "", style: "plain", items, total, load };
  }

  levels() {
    return ["strong", "likely"].map((name) => ({ key: name, level: name, title: LEVELS[name], items: this.of(name) }))
      .filter((section) => section.items.length)
      .map((section, i, all) => ({ ...section, small: this.count(section.items.length, i === all.length - 1) }));
  }

  /** Return a count, with "+" if more may follow. */
  count(n, isLast = true) {
    return `${number(n)}${isLast && this.missing() ? "+" : ""}`;
  }

  months() {
    const byMonth = new Map();
    const dated = this.strongAndLikely().map((item) => ({ ...item, day: item.time ? Number(item.time.slice(8, 10)) : null }));
    dated.sort((a, b) => (b.time ?? "").localeCompare(a.time ?? ""));
    for (const item of dated) {
      const month = item.time?.slice(0, 7) ?? "undated";
      byMonth.set(month, [...(byMonth.get(month) ?? []), item]);
    }
    return [...byMonth].map(([month, items]) => ({
      key: `m${month}`, title: monthName(month), style: "month", small: number(items.length), items, dated: true,
      year: month === "undated" ? "Undated" : month.slice(0, 4), dayName: (item) => dayName(month, item.day),
    }));
  }

  weakSection(items, isAfterMatches) {
    const shown = number(items.length);
    return isAfterMatches
      ? { key: "weak", level: "weak", weak: true, style: "turn", items, title: "Weaker from here",
          small: `Unrelated words often find as much. The nearest ${shown} follow, dimmed.` }
      : { key: "weak", level: "weak", weak: true, title: "Nearest", small: `${shown}, all weak`, items };
  }
}
