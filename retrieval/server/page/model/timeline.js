// The library by time: months whose items are requested when the reader nears them.

import { dayName, monthName, number } from "../logic/format.js";
import { timeline, timelineMonth } from "./api.js";

/** Request the counts of the months of a line of filters; throws as `request` does. */
export async function fetchTimeline(line, signal) {
  return new Timeline(line, await timeline(line, signal));
}

export class Timeline {
  constructor(line, { buckets, total, undated }) {
    Object.assign(this, { line, total, onload: null, onerror: null, waiting: new Set() });
    const months = buckets.map(({ month, count }) => this.section(month, count));
    if (undated) months.push(this.section("undated", undated));
    this.list = months;
  }

  section(month, count) {
    const section = {
      key: `t${month}`, month, title: monthName(month), style: "month", small: number(count), items: [], total: count, dated: true,
      year: month === "undated" ? "Undated" : month.slice(0, 4), dayName: (item) => (month === "undated" ? "" : dayName(month, item.day)),
    };
    section.load = () => this.load(section);
    return section;
  }

  sections() {
    return this.list;
  }

  /** Request the next 2,000 items of a month, once at a time. */
  async load(section) {
    if (section.loading || section.items.length >= section.total) return section.loading;
    section.loading = this.request(section).finally(() => (section.loading = null));
    return section.loading;
  }

  async request(section) {
    try {
      const answer = await timelineMonth(section.month, { q: this.line, offset: section.items.length });
      const items = itemsOf(answer, section.month);
      section.items = [...section.items, ...items];
      if (!answer.more || !items.length) section.total = section.items.length;
      this.onload?.(section);
    } catch (error) {
      this.onerror?.(error);
      await new Promise((resolve) => { this.waiting.add(resolve); setTimeout(resolve, 2000); }); // the next render tries again
    }
  }

  /** Let months that could not be loaded be requested again at once. */
  resume() {
    for (const end of this.waiting) end();
    this.waiting.clear();
  }

  /** Load all items between two sections, for a selection across months. */
  async loadBetween(first, last) {
    const [from, to] = [this.list.indexOf(first), this.list.indexOf(last)].sort((a, b) => a - b);
    for (const section of this.list.slice(from, to + 1)) {
      while (section.items.length < section.total) await this.load(section);
    }
  }
}

/** Return the items of columns. */
export function itemsOf(columns, month) {
  const { id, ratio, placeholder, kind, duration, day, folder, name } = columns;
  return id.map((value, i) => ({
    id: value, ratio: ratio[i], placeholder: placeholder[i], kind: kind[i], duration: duration[i], folder: folder[i], name: name[i],
    day: day[i] ?? null, time: month === "undated" || !day[i] ? null : `${month}-${String(day[i]).padStart(2, "0")}`,
    offline: columns.offline?.[i] ?? false, thumbnail: columns.thumbnail?.[i], page: columns.page?.[i] ?? null, text: columns.text?.[i] ?? null,
  }));
}
