// The rail: one thread with two scales, time without words and confidence with words.

import { confidence, level, LEVELS, number } from "../logic/format.js";
import { confidenceScale, ribbon, sampled, thinned, threadWidth, timeScale, weakWidth } from "../logic/rail_scale.js";
import { el, reducedMotion, svg } from "./dom.js";

const CENTER = 14; // of the thread in its drawing

export class Rail {
  constructor({ node, link, grid }) {
    Object.assign(this, { node, link, grid, mode: null });
    this.under = svg("path", { class: "th0" });
    this.over = svg("path", { class: "th" });
    this.draw = svg("svg", { class: "t", "aria-hidden": "true", preserveAspectRatio: "none" }, this.under, this.over);
    this.labels = el("div.labels", { "aria-hidden": "true" });
    this.thumb = el("div.thumb");
    this.knot = el("div.knot");
    this.cross = el("div.cross", { hidden: true });
    this.bubble = el("div.bubble", { hidden: true, "aria-hidden": "true" });
    this.inner = el("div.in", {}, this.draw, this.labels, this.thumb, this.knot, this.cross, this.bubble);
    node.append(this.inner);
    grid.addEventListener("layout", () => this.update());
    grid.addEventListener("scrolled", () => this.follow());
    node.addEventListener("pointerdown", (event) => this.press(event));
    node.addEventListener("pointermove", (event) => this.move(event));
    node.addEventListener("pointerleave", () => this.dragging || this.hideBubble());
    for (const name of ["pointerup", "pointercancel"]) node.addEventListener(name, () => this.release());
    node.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.update()).observe(this.inner);
  }

  /** Choose the scale: "time", "confidence", or null for no rail. */
  setMode(mode) {
    this.mode = mode;
    this.node.dataset.mode = mode ?? "";
    this.node.setAttribute("aria-label", mode === "time" ? "Time" : "Confidence");
  }

  update() {
    const { grid } = this;
    this.height = this.inner.clientHeight;
    const isUseful = this.mode && grid.sections.length && grid.height > 0;
    this.node.hidden = !isUseful;
    if (!isUseful) { this.link.style.display = "none"; return; }
    if (!this.height) this.height = this.inner.clientHeight;
    this.draw.setAttribute("viewBox", `0 0 28 ${this.height}`);
    if (this.mode === "time") this.updateTime();
    else this.updateConfidence();
    this.follow();
  }

  updateTime() {
    const months = this.grid.sections.filter((section) => section.year).map((section) => ({ year: section.year, count: section.total ?? section.items.length, section }));
    this.time = timeScale(months, this.height);
    const points = sampled(this.time.months.map((span) => ({ y: (span.from + span.to) / 2, width: span.width })));
    const ends = [{ y: 0, width: 1.8 }, ...points, { y: this.height, width: 1.2 }];
    this.setPath(this.under, ribbon(ends, CENTER));
    this.over.setAttribute("d", this.under.getAttribute("d"));
    this.knot.hidden = true;
    const labels = this.time.years.map((mark, i) => ({ at: i ? mark.at + 7 : 7, word: mark.year, text: number(mark.count) }));
    this.drawLabels(thinned(labels));
  }

  updateConfidence() {
    const rows = this.grid.sections.flatMap((section) => section.rows.map((row) => ({
      section, row, top: section.top + section.headHeight + row.top, item: section.items[row.from],
    })));
    const turn = this.grid.sections.find((section) => section.weak);
    this.turnTop = turn ? turn.top + (turn.style === "turn" ? 20 : 0) : this.grid.height;
    const hw = turn ? this.grid.height - this.turnTop : 0;
    this.scale = confidenceScale(turn?.top === 0 ? 0 : this.turnTop, hw, this.height);
    this.over.style.clipPath = "none";
    const { knot } = this.scale;
    const strong = rows.filter(({ section }) => !section.weak).map(({ top, row, item }) => ({
      y: this.scale.toRail(top + row.height / 2), width: threadWidth(item.confidence ?? 0.8),
    }));
    const first = strong[0]?.width ?? 3;
    const missing = turn ? 3 : strong.at(-1)?.width ?? 3;
    this.setPath(this.over, knot > 0 ? ribbon([{ y: 0, width: first }, ...sampled(strong, 118), { y: knot, width: missing }], CENTER) : "");
    const weak = [0, 0.25, 0.5, 0.75, 1].map((share) => ({ y: knot + share * (this.height - knot), width: weakWidth(share) }));
    this.setPath(this.under, hw ? ribbon(weak, CENTER) : "");
    this.knot.hidden = !hw || knot === 0;
    this.knot.style.top = `${knot}px`;
    const labels = this.grid.sections.filter((section) => section.level && section.items.length).map((section, i) => ({
      at: i ? this.scale.toRail(section.weak ? this.turnTop : section.top) : 14,
      word: LEVELS[section.level], text: confidence(section.items[0].confidence), level: section.level,
    }));
    this.drawLabels(thinned(labels));
  }

  setPath(path, d) {
    if (!reducedMotion() && path.getAttribute("d")) path.classList.add("moves");
    path.setAttribute("d", d);
    path.style.setProperty("d", d ? `path("${d}")` : "none");
  }

  drawLabels(labels) {
    this.labels.replaceChildren(...labels.map((label) => {
      const node = el("div.lab", { data: { word: label.word } }, el("b", {}, String(label.word)), label.text);
      node.style.top = `${Math.max(14, label.at)}px`;
      return node;
    }));
  }

  toRail(offset) {
    if (this.mode === "confidence") return this.scale.toRail(offset);
    const { months } = this.time;
    const span = months.find(({ section }) => offset < section.top + section.height) ?? months.at(-1);
    const share = Math.min(1, Math.max(0, (offset - span.section.top) / (span.section.height || 1)));
    return span.from + share * (span.to - span.from);
  }

  toOffset(at) {
    if (this.mode === "confidence") return this.scale.toOffset(at);
    const { months } = this.time;
    const span = months.find(({ to }) => at < to) ?? months.at(-1);
    const share = Math.min(1, Math.max(0, (at - span.from) / (span.to - span.from || 1)));
    return span.section.top + share * span.section.height;
  }

  /** Move the thumb to the viewport, and join the line to the knot. */
  follow() {
    if (this.node.hidden || !this.mode) return;
    const edge = this.grid.stickyHeight();
    const top = this.grid.scrollTop + edge - this.grid.canvasTop, bottom = top - edge + innerHeight;
    const from = this.toRail(Math.max(0, top)), to = this.toRail(Math.min(this.grid.height, bottom));
    const height = Math.min(this.height, Math.max(36, to - from));
    const place = Math.max(0, Math.min(this.height - height, from));
    Object.assign(this.thumb.style, { top: `${place}px`, height: `${height}px` });
    if (this.mode === "time") this.over.style.clipPath = `inset(${place}px -20px ${Math.max(0, this.height - place - height)}px -20px)`;
    this.describe(top, Math.max(0, top));
    this.join();
  }

  describe(top, offset) {
    const { text, word } = this.nameAt(offset);
    this.node.setAttribute("aria-valuetext", text);
    this.node.setAttribute("aria-valuenow", Math.round((100 * offset) / (this.grid.height || 1)));
    for (const label of this.labels.children) label.classList.toggle("now", label.dataset.word === String(word));
  }

  nameAt(offset) {
    const section = this.grid.sections.find((other) => offset < other.top + other.height) ?? this.grid.sections.at(-1);
    if (this.mode === "time") return { text: section.weak ? section.title : `${section.title} ${number(section.total ?? section.items.length)}`, word: section.year };
    const rows = section.rows, y = offset - section.top - section.headHeight;
    const row = rows.find((other) => other.top + other.height > y) ?? rows.at(-1);
    const item = row && section.items[row.from];
    if (!item) return { text: section.title ?? "", word: "" };
    const word = LEVELS[level(item)] ?? "";
    return { text: `${word}, ${confidence(item.confidence)}`, word };
  }

  /** Draw the joint: the line where hits turn weak runs into the knot while it is on screen. */
  join() {
    const line = this.mode === "confidence" && !this.knot.hidden && !this.grid.measures.phone;
    if (!line) { this.link.style.display = "none"; return; }
    const y0 = this.turnTop + this.grid.canvasTop - this.grid.scrollTop + 0.75;
    const edge = this.grid.stickyHeight();
    const isSeen = y0 > edge && y0 < innerHeight;
    this.link.style.display = isSeen ? "block" : "none";
    if (!isSeen) return;
    const k = this.knot.getBoundingClientRect();
    const x0 = document.documentElement.clientWidth - this.grid.measures.right + 13, x1 = k.left + 1, y1 = k.top + k.height / 2, h = (x1 - x0) * 0.55;
    const path = this.link.querySelector("path");
    path.setAttribute("d", `M${x0} ${y0}C${x0 + h} ${y0} ${x1 - h} ${y1} ${x1} ${y1}`);
    path.style.opacity = Math.min(1, (y0 - edge) / 40, (innerHeight - y0) / 40);
  }

  at(event) {
    const rect = this.inner.getBoundingClientRect();
    return Math.min(this.height, Math.max(0, event.clientY - rect.top));
  }

  press(event) {
    if (event.button) return;
    this.dragging = true;
    this.node.setPointerCapture(event.pointerId);
    this.jump(event);
    event.preventDefault();
    this.node.focus({ preventScroll: true });
  }

  jump(event) {
    const at = this.at(event);
    this.grid.scrollToOffset(this.toOffset(at));
    this.grid.render();
    this.showBubble(at);
  }

  move(event) {
    if (!this.mode || this.node.hidden) return;
    if (this.dragging) this.jump(event);
    else if (event.pointerType === "mouse") this.showBubble(this.at(event));
  }

  release() {
    this.dragging = false;
    this.hideBubble();
  }

  showBubble(at) {
    const { text } = this.nameAt(this.toOffset(at));
    const [, name, count] = /^(.*?),? ([\d.,]+)$/.exec(text) ?? [null, text, ""];
    this.bubble.replaceChildren(name, el("span", {}, count));
    for (const node of [this.bubble, this.cross]) {
      node.hidden = false;
      node.style.top = `${at}px`;
    }
  }

  hideBubble() {
    this.bubble.hidden = this.cross.hidden = true;
  }

  key(event) {
    const edge = scrollY + this.grid.stickyHeight() - this.grid.canvasTop + 2;
    const { sections, height } = this.grid;
    const rows = sections.flatMap((section) => section.rows.map((row) => section.top + section.headHeight + row.top - row.band));
    const tops = sections.map((section) => section.top);
    const to = {
      ArrowDown: () => rows.find((top) => top > edge) ?? height, ArrowUp: () => rows.findLast((top) => top < edge - 4) ?? 0,
      PageDown: () => tops.find((top) => top > edge) ?? height, PageUp: () => tops.findLast((top) => top < edge - 4) ?? 0,
      Home: () => 0, End: () => height,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    this.grid.scrollToOffset(to());
    this.grid.request();
  }
}

