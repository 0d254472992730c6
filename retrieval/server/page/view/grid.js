// The grid: places justified rows by section, and keeps only those near the viewport in the document.

import { dayLabels, estimatedHeight, justify, measures, stackRows, tileRatio } from "../logic/layout.js";
import { el } from "./dom.js";
import { addHover, buildTile, dropPicture, loadPicture } from "./tile.js";

const MAX_PICTURES = 60;
const FAST = 3; // screens per second: only placeholders are drawn
const SETTLED = 120; // milliseconds without scrolling, after which pictures are loaded
const HEADINGS = { level: [37, 50], month: [36, 60], turn: [22, 69], plain: [6, 24] }; // first, later

export class Grid extends EventTarget {
  constructor({ root, canvas, href, isSelected }) {
    super();
    Object.assign(this, { root, canvas, href, isSelected, sections: [], context: {}, live: new Map(), focusId: null, loading: new Set() });
    this.speed = { at: 0, time: 0, value: 0 };
    addEventListener("scroll", () => this.request(), { passive: true });
    addEventListener("resize", () => this.relayout());
    canvas.addEventListener("pointerover", (event) => this.hover(event.target));
    canvas.addEventListener("focusin", (event) => this.hover(event.target));
  }

  /** Show other sections. `anchor` is `{id, px}`, or null for the top. */
  show(sections, context, anchor = null) {
    this.clear();
    this.sections = sections;
    this.context = { ...context, href: this.href };
    this.place();
    if (!anchor || !(this.scrollToItem(anchor.id, anchor.px) || this.scrollToRank(history.state?.near, anchor.px))) scrollTo({ top: 0, behavior: "instant" });
    this.render();
    this.dispatchEvent(new Event("layout"));
  }

  clear() {
    for (const live of this.live.values()) live.node.remove();
    this.live.clear();
  }

  /** Lay out again and keep the tile at the top where it is. */
  relayout() {
    const anchor = this.anchor();
    this.clear();
    this.place();
    this.restore(anchor);
    this.render();
    this.dispatchEvent(new Event("layout"));
  }

  /** Lay out again after the items of some sections changed; other rows stay in the document. */
  refresh(section) {
    const anchor = this.anchor();
    section.rows = null;
    for (const [key, live] of this.live) {
      if (live.section === section) { live.node.remove(); this.live.delete(key); }
    }
    this.place();
    for (const live of this.live.values()) this.move(live);
    this.restore(anchor);
    this.render();
    this.dispatchEvent(new Event("layout"));
  }

  /** Move what is in the document to where its section is now. */
  move(live) {
    const { section, row, node } = live;
    if (row) live.middle = section.top + section.headHeight + row.top + row.height / 2;
    else Object.assign(node.style, { top: `${section.top}px`, height: `${section.height}px` });
  }

  place() {
    const m = (this.measures = measures(innerWidth));
    const width = (this.width = document.documentElement.clientWidth - m.left - m.right);
    const isNew = this.placedWidth !== width;
    this.placedWidth = width;
    let top = 0, index = 0;
    for (const section of this.sections) {
      section.top = top;
      section.headHeight = section.style === "none" ? 0 : HEADINGS[section.style ?? "level"][index++ ? 1 : 0];
      if (!section.rows || isNew) this.placeRows(section, width, m);
      section.height = section.headHeight + section.rowsHeight;
      top += section.height;
    }
    this.height = top;
    this.canvas.style.height = `${top}px`;
    this.measurePlace();
  }

  /** Measure the viewport before the document changes: afterwards the browser would have to lay out first. */
  measurePlace() {
    this.scrollTop = scrollY;
    this.canvasTop = this.canvas.getBoundingClientRect().top + scrollY;
    this.edge = document.querySelector(".bar").getBoundingClientRect().bottom;
  }

  placeRows(section, width, m) {
    const target = section.target ?? m.target;
    const rows = justify(section.items.map(tileRatio), width, target, m.gap);
    if (section.dated) {
      for (const row of rows) row.labels = dayLabels(section.items, row, m.gap, section.dayName);
    }
    const placed = stackRows(rows, m.gap, section.dated && ((row) => startsDay(section.items, row)));
    section.rows = placed.rows;
    const missing = Math.max(0, (section.total ?? section.items.length) - section.items.length);
    const rest = missing ? estimatedHeight(missing, width, target, m.gap) : 0;
    section.rowsHeight = placed.height + (rest && placed.height ? m.gap : 0) + rest;
  }

  request() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.render();
      this.dispatchEvent(new Event("scrolled"));
    });
  }

  measureSpeed() {
    const now = performance.now(), { at, time } = this.speed;
    if (scrollY === at && now - time < SETTLED) return this.speed.value > FAST; // a month was loaded meanwhile
    const value = time && now - time < 300 ? (Math.abs(scrollY - at) / innerHeight / Math.max(1, now - time)) * 1000 : 0;
    this.speed = { at: scrollY, time: now, value };
    clearTimeout(this.slow);
    if (value > FAST) this.slow = setTimeout(() => this.render(), SETTLED + 20);
    return value > FAST;
  }

  /** Bring the rows within a screen of the viewport into the document, and remove the others. */
  render() {
    if (!this.sections.length) return;
    this.measurePlace();
    const isFast = this.measureSpeed();
    const low = scrollY - this.canvasTop - innerHeight, high = low + 3 * innerHeight;
    const wanted = new Set();
    for (const section of this.between(low, high)) {
      wanted.add(section.key);
      this.ensureSection(section);
      const end = section.top + section.headHeight + (section.rows.at(-1)?.top ?? 0);
      const isSeen = end < high - innerHeight && section.top + section.height > low + innerHeight;
      if (section.items.length < (section.total ?? 0) && end < high && (isSeen || !isFast)) this.load(section, isFast ? 2 : 6);
      section.rows.forEach((row, i) => {
        const top = section.top + section.headHeight + row.top - row.band;
        if (top + row.band + row.height < low || top > high) return;
        const key = `${section.key}/${i}`;
        wanted.add(key);
        if (!this.live.has(key)) this.addRow(section, row, i, key);
      });
    }
    for (const [key, live] of this.live) {
      if (!wanted.has(key) && !live.node.contains(document.activeElement)) { live.node.remove(); this.live.delete(key); }
    }
    if (!isFast) this.updatePictures(low + 1.5 * innerHeight);
    this.updateTabStop();
  }

  /** Load the next items of a section, unless `most` requests are on their way. */
  async load(section, most) {
    if (this.loading.has(section) || this.loading.size >= most) return;
    this.loading.add(section);
    await Promise.resolve(section.load?.()).catch(() => null);
    this.loading.delete(section);
  }

  between(low, high) {
    return this.sections.filter((section) => section.top + section.height >= low && section.top <= high);
  }

  ensureSection(section) {
    if (this.live.has(section.key)) return;
    const id = `h-${section.key}`;
    const heading = el("h2", { id, class: section.style ?? "level", style: { height: `${section.headHeight}px` } },
      section.title ?? "", section.small && el("small.num", {}, section.small));
    const rows = el("div.rows", { role: "grid", "aria-labelledby": id, "aria-rowcount": section.rows.length || -1 });
    if (!section.title) heading.classList.add("sr");
    rows.style.top = `${section.headHeight}px`;
    const node = el("section.part", { "aria-labelledby": id, class: section.weak ? "weak" : "", style: { top: `${section.top}px`, height: `${section.height}px` } }, heading, rows);
    const next = [...this.canvas.children].find((other) => Number(other.dataset.order) > this.sections.indexOf(section));
    node.dataset.order = this.sections.indexOf(section);
    this.canvas.insertBefore(node, next ?? null);
    this.live.set(section.key, { node, section, rows });
  }

  addRow(section, row, index, key) {
    const node = el("div.row", { role: "row", "aria-rowindex": index + 1, style: { top: `${row.top}px`, height: `${row.height}px` } });
    let x = 0;
    for (let i = row.from; i < row.to; i++) {
      const item = section.items[i], width = row.widths[i - row.from];
      const tile = buildTile(item, width, row.height, { ...this.context, dated: section.dated });
      Object.assign(tile.style, { left: `${x}px`, width: `${width}px`, height: `${row.height}px` });
      tile.classList.toggle("picked", this.isSelected(item.id));
      tile.item = item;
      node.append(tile);
      x += width + this.measures.gap;
    }
    for (const label of row.labels ?? []) node.append(dayLabel(label));
    const rows = this.live.get(section.key).rows;
    const after = [...rows.children].find((other) => Number(other.getAttribute("aria-rowindex")) > index + 1);
    rows.insertBefore(node, after ?? null);
    this.live.set(key, { node, section, row, middle: section.top + section.headHeight + row.top + row.height / 2 });
  }

  updatePictures(center) {
    const rows = [...this.live.values()].filter((live) => live.row);
    rows.sort((a, b) => Math.abs(a.middle - center) - Math.abs(b.middle - center));
    let left = MAX_PICTURES;
    for (const { node } of rows) {
      const tiles = [...node.children].filter((tile) => tile.item);
      const isNear = left >= tiles.length;
      for (const tile of tiles) isNear ? loadPicture(tile, tile.item) : dropPicture(tile);
      left = isNear ? left - tiles.length : 0;
      if (isNear) this.context.onTiles?.(tiles);
    }
  }

  hover(target) {
    const tile = target.closest?.(".tile");
    if (tile?.item && matchMedia("(hover: hover)").matches) addHover(tile, tile.item);
  }

  updateTabStop() {
    const stop = this.tile(this.focusId) ?? this.firstVisible();
    for (const link of this.canvas.querySelectorAll('.open[tabindex="0"]')) link.tabIndex = -1;
    const link = stop?.querySelector(".open");
    if (link) link.tabIndex = 0;
  }

  tile(id) {
    return id == null ? null : this.canvas.querySelector(`.tile[data-id="${id}"]`);
  }

  tiles() {
    return [...this.canvas.querySelectorAll(".tile")];
  }

  stickyHeight() {
    return this.edge;
  }

  /** Return the first tile below the bar. */
  firstVisible() {
    const low = this.scrollTop + this.edge + 8 - this.canvasTop;
    let first = null;
    for (const live of this.live.values()) {
      if (live.row && live.middle + live.row.height / 2 > low && !(first?.middle < live.middle)) first = live;
    }
    return first?.node.querySelector(".tile") ?? null;
  }

  /** Return where the reader is: the first visible tile, or a share of a section whose tiles are not drawn yet. */
  anchor() {
    this.measurePlace(); // the page may have been scrolled since the rows were drawn
    const tile = this.firstVisible(), px = tile && Math.round(tile.getBoundingClientRect().top);
    if (tile && px < innerHeight) return { id: Number(tile.dataset.id), px };
    const y = scrollY + this.stickyHeight() - this.canvasTop;
    const section = this.sections.find((other) => other.top + other.height > y);
    return section ? { section, share: (y - section.top) / (section.height || 1) } : null;
  }

  restore(anchor) {
    if (!anchor) return;
    if (anchor.id != null) this.scrollToItem(anchor.id, anchor.px);
    else this.scrollToOffset(anchor.section.top + anchor.share * anchor.section.height);
  }

  /** Scroll so that an offset in the grid is below the bar. */
  scrollToOffset(offset) {
    scrollTo({ top: this.canvasTop + offset - this.stickyHeight(), behavior: "instant" });
  }

  /** Return `{section, row, index, top, left, width, height}` of an item, in the grid. */
  find(id) {
    for (const section of this.sections) {
      const index = section.items.findIndex((item) => item.id === id || item.more?.some((other) => other.id === id));
      if (index < 0) continue;
      const row = section.rows.find((other) => index >= other.from && index < other.to);
      const widths = row.widths.slice(0, index - row.from);
      const left = widths.reduce((sum, width) => sum + width + this.measures.gap, 0);
      const top = section.top + section.headHeight + row.top;
      return { section, row, index, item: section.items[index], top, left, width: row.widths[index - row.from], height: row.height };
    }
    return null;
  }

  scrollToItem(id, px) {
    const place = this.find(id);
    if (!place) return false;
    scrollTo({ top: this.canvasTop + place.top - px, behavior: "instant" });
    return true;
  }

  /** Return the section and the rank of an item in it, or null: where its neighbors are if it is deleted. */
  rank(id) {
    const place = this.find(id);
    return place && { key: place.section.key, index: place.index };
  }

  scrollToRank(rank, px) {
    const items = this.sections.find((section) => section.key === rank?.key)?.items ?? [];
    const item = items[Math.min(rank?.index, items.length - 1)];
    return Boolean(item) && this.scrollToItem(item.id, px);
  }

  /** Focus the tile of an item, scrolled into the free part of the viewport. */
  focusItem(id) {
    const place = this.find(id);
    if (!place) return false;
    const top = this.canvasTop + place.top - scrollY, edge = this.stickyHeight() + 10;
    if (top < edge) this.scrollToItem(place.item.id, edge + 30);
    else if (top + place.height > innerHeight - 24) this.scrollToItem(place.item.id, innerHeight - place.height - 24);
    this.focusId = place.item.id;
    this.render();
    this.tile(place.item.id)?.querySelector(".open").focus({ preventScroll: true });
    return true;
  }

  /** Focus the first or last item, once its section is loaded. */
  async focusEdge(isLast) {
    const section = this.sections.at(isLast ? -1 : 0);
    if (!section) return;
    const isShort = () => section.items.length < (isLast ? section.total ?? 0 : 1);
    for (let before = -1; isShort() && section.items.length > before; await section.load?.()) before = section.items.length;
    const item = section.items.at(isLast ? -1 : 0);
    if (item) this.focusItem(item.id);
  }

  refreshSelection() {
    for (const tile of this.tiles()) tile.classList.toggle("picked", this.isSelected(tile.item.id));
  }

  /** Return all loaded items in reading order. */
  items() {
    return this.sections.flatMap((section) => section.items);
  }

  /** Return the item that a key moves to from an item, or null. */
  neighbor(id, key) {
    const items = this.items(), at = items.findIndex((item) => item.id === id);
    if (at < 0) return items[0] ?? null;
    if (key === "ArrowLeft") return items[at - 1] ?? null;
    if (key === "ArrowRight") return items[at + 1] ?? null;
    const place = this.find(id);
    const inRow = (index) => place.section.items[index];
    if (key === "Home") return inRow(place.row.from);
    if (key === "End") return inRow(place.row.to - 1);
    const screen = innerHeight - this.stickyHeight() - 60;
    const distance = { ArrowUp: -1, ArrowDown: 1, PageUp: -screen, PageDown: screen }[key];
    return this.nearestAt(place, distance);
  }

  nearestAt(place, distance) {
    const center = place.left + place.width / 2;
    const rows = this.sections.flatMap((section) => section.rows.map((row) => ({ section, row, top: section.top + section.headHeight + row.top })));
    const at = rows.findIndex((other) => other.row === place.row && other.section === place.section);
    let to = at + Math.sign(distance);
    if (Math.abs(distance) > 1) {
      while (rows[to + Math.sign(distance)] && Math.abs(rows[to].top - place.top) < Math.abs(distance)) to += Math.sign(distance);
    }
    const target = rows[to];
    if (!target) return null;
    let x = 0, best = null;
    for (let i = target.row.from; i < target.row.to; i++) {
      const width = target.row.widths[i - target.row.from], off = Math.abs(x + width / 2 - center);
      if (!best || off < best.off) best = { off, item: target.section.items[i] };
      x += width + this.measures.gap;
    }
    return best.item;
  }
}

const startsDay = (items, row) => {
  for (let i = row.from; i < row.to; i++) if (items[i].day && (!i || items[i - 1].day !== items[i].day)) return true;
  return false;
};

function dayLabel(label) {
  const node = el("div.day", { role: "presentation" }, el("b", {}, label.text), label.folder && ` \u00a0${label.folder}`);
  Object.assign(node.style, { left: `${label.x}px`, maxWidth: `${Math.max(40, label.room)}px` });
  return node;
}
