// The lightbox: one item on a dark stage, its neighbors below, and what is known about it beside it.

import { clock, level, number } from "../logic/format.js";
import { tileRatio } from "../logic/layout.js";
import { ribbon, threadWidth } from "../logic/rail_scale.js";
import { isOnPage, parseLine } from "../logic/query.js";
import { details, thumbnailUrl } from "../model/api.js";
import { asShown } from "../model/results.js";
import { $, el, icon, iconButton, reducedMotion, svg } from "../view/dom.js";
import { showDocument } from "./document.js";
import { Panel } from "./panel.js";
import { showPhoto } from "./photo.js";
import { listenForSwipes } from "./swipe.js";
import { showVideo } from "./video.js";

const FILM = 11; // pictures in the strip
const SHOWN = { image: showPhoto, video: showVideo, page: showDocument, text: showDocument, audio: showDocument };

export class Lightbox {
  constructor(app) {
    this.app = app;
    this.boxesOn = true;
  }

  get isOpen() {
    return Boolean(this.node);
  }

  /** Return the items that Left and Right move through. */
  items() {
    return this.stack ?? this.app.grid.items();
  }

  async open(id, { isRestored, play } = {}) {
    const { app } = this;
    if (!this.node) this.build();
    const item = app.grid.find(id)?.item;
    this.stack = item?.more?.length ? [{ ...item, more: [] }, ...item.more.map((other) => ({ ...item, ...other, more: [] }))] : this.stack?.some((other) => other.id === id) ? this.stack : null;
    const shown = this.items().find((other) => other.id === id) ?? { id, kind: "image", name: "", isUnknown: true };
    await this.show(shown, { play, from: isRestored ? null : app.grid.tile(id) });
  }

  build() {
    this.returnTo = document.activeElement;
    const toggle = (name, label, run) => iconButton(name, label, run, { "aria-pressed": "false" });
    this.pos = el("span.pos", {});
    this.buttons = {
      boxes: toggle("boxes", "Boxes of recognized text (b)", () => this.toggleBoxes()),
      info: toggle("info", "Information (i)", () => this.toggleInfo()),
    };
    this.buttons.boxes.classList.add("hide-m");
    const top = el("div.lbtop", {}, iconButton("back", "Back to the results (Esc)", () => this.close()), this.pos, el("span.sep"),
      this.buttons.boxes, iconButton("similar", "Similar (s)", () => this.act("similar")), iconButton("down", "Download (d)", () => this.act("download")), this.buttons.info);
    this.pic = el("div.pic", {});
    this.below = el("div.below", {});
    this.film = el("div.film", {});
    this.stage = el("div.stage", {}, top, this.pic, el("div", {}, this.below, this.film));
    this.side = el("aside.side", { "aria-label": "Information", tabindex: "-1" });
    this.node = el("div.lb", { role: "dialog", "aria-modal": "true", tabindex: "-1" }, this.stage, this.side);
    this.panel = new Panel(this);
    $("#page").inert = true;
    document.documentElement.classList.add("locked");
    $("#over").append(this.node);
    this.setInfo(this.app.state.info && localStorage.getItem("clew.info") !== "0");
    this.setBoxes(this.boxesOn);
    this.stopSwipes = listenForSwipes(this);
  }

  /** Show an item, first from what the grid knows, then with its details. */
  async show(item, { play, from } = {}) {
    const { app } = this;
    this.item = item;
    this.request?.abort();
    const request = (this.request = new AbortController());
    this.view?.stop?.();
    this.below.replaceChildren();
    this.showPosition();
    this.showFilm();
    this.node.setAttribute("aria-label", item.name || "Item");
    if (!item.isUnknown) this.showStage({ play, from });
    this.panel.show(item, null);
    try {
      const full = asShown(await details(item.id, app.state.q, request.signal));
      if (request.signal.aborted || this.item !== item) return;
      const known = item.isUnknown ? {} : item;
      this.item = Object.assign(item.isUnknown ? item : { ...item }, Object.fromEntries(Object.entries(full).filter(([key, value]) => value != null || !(key in known))));
      if (known.moments) this.item.moments = known.moments;
      if (known.confidence != null) this.item.confidence = known.confidence;
      if (item.isUnknown) this.showStage({ play });
      else this.view?.details?.(this.item);
      this.node.setAttribute("aria-label", this.item.name);
      this.panel.show(this.item, full);
      this.showPosition();
      document.title = `${this.item.name} - clew`;
    } catch (error) {
      if (error.name !== "AbortError") this.panel.fail(error);
    }
    this.preload();
  }

  showStage(options) {
    const nav = (direction, name) => {
      const label = direction < 0 ? "Previous (Left)" : "Next (Right)";
      return this.neighbor(direction) && el(`button.nav.${direction < 0 ? "l" : "r"}`, { type: "button", title: label, "aria-label": label, onclick: () => this.step(direction) }, icon(name));
    };
    this.fit = el("div.fit", { tabindex: "0", role: "group", "aria-label": this.item.name || "Picture" });
    this.pic.replaceChildren(...[nav(-1, "left"), this.fit, nav(1, "right")].filter(Boolean));
    this.pic.classList.remove("zoomed");
    this.buttons.boxes.hidden = true; // until there are boxes
    this.film.hidden = this.item.kind === "video" && innerWidth >= 768;
    this.view = (SHOWN[this.item.kind] ?? showPhoto)(this, options);
    this.fit.focus({ preventScroll: true });
  }

  /** Let a figure grow from its tile. */
  growFrom(figure, tile) {
    if (!tile || reducedMotion()) return;
    const from = tile.getBoundingClientRect(), to = figure.getBoundingClientRect();
    if (!to.width || !from.width) return;
    const x = from.left + from.width / 2 - to.left - to.width / 2, y = from.top + from.height / 2 - to.top - to.height / 2;
    figure.style.transform = `translate(-50%,-50%) translate(${x}px,${y}px) scale(${from.width / to.width})`;
    figure.getBoundingClientRect();
    figure.classList.add("grow");
    figure.style.transform = "";
    setTimeout(() => figure.classList.remove("grow"), 240);
  }

  showPosition() {
    const items = this.items(), at = items.findIndex((other) => other.id === this.item.id);
    const { words } = parseLine(this.app.state.q), lv = level(this.item);
    const confident = items.filter((other) => ["strong", "likely"].includes(level(other))).length;
    const text = at < 0 ? "" : lv === "weak" && !this.stack ? "weak" : this.app.model.hasLevels && !this.stack ? `${at + 1} of ${this.app.model.count(confident)}` : `${number(at + 1)} of ${number(this.stack ? items.length : this.app.model.total ?? items.length)}`;
    this.pos.replaceChildren(el("b.num", {}, this.stack ? `${text} in the stack` : text), words.trim());
  }

  /** Show the neighbors with the thread below them. */
  showFilm() {
    const items = this.items(), at = items.findIndex((other) => other.id === this.item.id);
    if (at < 0 || items.length < 2) return this.film.replaceChildren();
    const first = Math.max(0, Math.min(at - 2, items.length - FILM)), some = items.slice(first, first + FILM);
    const height = innerWidth < 768 ? 40 : 52, tall = innerWidth < 768 ? 46 : 60;
    let x = 0;
    const points = [];
    const list = el("ol", {}, some.map((item) => {
      const isThis = item.id === this.item.id, ratio = Math.min(1.8, tileRatio(item));
      const width = Math.round((isThis ? tall : height) * ratio);
      points.push({ y: x + width / 2, item });
      x += width + 4 + (isThis ? 12 : 0);
      const hasPicture = isOnPage(item) || (item.kind !== "text" && item.kind !== "audio");
      return el("li", { class: level(item) === "weak" ? "w" : "", "aria-current": isThis && "true", style: { width: `${width}px` } },
        el("button", { type: "button", tabindex: "-1", "aria-label": item.name, onclick: () => this.go(item) },
          hasPicture ? el("img", { src: thumbnailUrl(item.id), alt: "", loading: "lazy" }) : icon(item.kind === "text" ? "text" : "sound")));
    }));
    const wrap = el("div.fw", {}, list);
    if (some.some((item) => level(item))) wrap.append(filmThread(points, x));
    this.film.replaceChildren(wrap);
    if (innerWidth < 768) {
      const here = points[at - first].y, half = innerWidth / 2;
      wrap.style.marginLeft = `${Math.min(14, Math.max(half - here, innerWidth - x - 14))}px`;
    }
  }

  neighbor(direction) {
    const items = this.items(), at = items.findIndex((other) => other.id === this.item.id);
    return at < 0 ? null : items[at + direction] ?? null;
  }

  step(direction) {
    const next = this.neighbor(direction);
    if (next) this.go(next);
    else if (direction > 0) this.app.grid.sections.find((section) => section.items.length < (section.total ?? 0))?.load?.();
  }

  /** Move to another item, in the same step of the history. */
  go(item) {
    const { app } = this;
    app.grid.focusId = item.id;
    if (!this.stack) this.scrollGrid(item.id);
    const t = item.kind === "video" || item.kind === "audio" ? (item.timed ? item.start : null) : null;
    app.write(false, { open: item.id, t, p: item.kind === "page" ? item.page : null });
    this.show(item);
  }

  /** Keep the tile of the item that is shown in sight, under the lightbox. */
  scrollGrid(id) {
    const place = this.app.grid.find(id);
    if (!place) return;
    const top = this.app.grid.canvasTop + place.top - scrollY, edge = this.app.grid.stickyHeight();
    if (top < edge || top + place.height > innerHeight) this.app.grid.scrollToItem(id, Math.round(innerHeight / 3));
    this.app.grid.render();
  }

  /** Load the pictures of both neighbors, so that a step shows them at once. */
  preload() {
    const { signal } = this.request, load = (src) => { const image = new Image(); image.src = src; return image; };
    this.preloaded = [];
    for (const item of [this.neighbor(1), this.neighbor(-1)]) {
      if (!item || item.kind === "text" || item.kind === "audio") continue;
      this.preloaded.push(load(thumbnailUrl(item.id)));
      if (item.kind === "video" || item.offline) continue;
      details(item.id, null, signal).then(({ details: { media } }) => media && this.preloaded.push(load(media))).catch(() => null);
    }
  }

  act(name) {
    const { app, item } = this;
    if (name === "copy" || name === "download") return app.act(name, item);
    if (name === "spread") {
      const leader = app.grid.find(item.id)?.item;
      if (!leader?.more?.length) return null;
      this.close();
      return app.act(name, leader);
    }
    this.close({ isRestored: true, keepFocus: true });
    return app.act(name, item);
  }

  toggleInfo() {
    this.setInfo(this.node.classList.contains("no-side"));
    localStorage.setItem("clew.info", this.app.state.info ? "1" : "0");
    this.app.write(false);
    this.view?.fit?.();
  }

  setInfo(isOn) {
    this.app.state.info = isOn;
    this.node.classList.toggle("no-side", !isOn);
    this.buttons.info.setAttribute("aria-pressed", String(isOn));
    if (innerWidth < 768) this.setSheet(isOn ? "half" : "low");
  }

  /** Set the height of the panel on a phone: "low", "half" or "full". */
  setSheet(name) {
    this.sheet = name;
    const height = { low: 96, half: Math.round(innerHeight * 0.44), full: innerHeight - 60 }[name];
    this.node.style.setProperty("--up", `${height}px`);
    this.stage.style.setProperty("--stage-up", `${name === "full" ? Math.round(innerHeight * 0.44) : height}px`);
    this.buttons.info.setAttribute("aria-pressed", String(name !== "low"));
    this.view?.fit?.();
  }

  toggleBoxes() {
    this.setBoxes(!this.boxesOn);
  }

  setBoxes(isOn) {
    this.boxesOn = isOn;
    this.node.classList.toggle("no-boxes", !isOn);
    this.buttons.boxes.setAttribute("aria-pressed", String(isOn));
  }

  toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen?.();
  }

  /** Close; `isRestored` if the address has changed already. */
  close({ isRestored, keepFocus } = {}) {
    if (!this.node) return;
    const id = this.item?.id;
    this.request?.abort();
    this.view?.stop?.();
    this.stopSwipes?.();
    this.node.remove();
    this.node = this.view = null;
    this.stack = null;
    $("#page").inert = false;
    document.documentElement.classList.remove("locked");
    const { app } = this;
    document.title = app.state.q ? `${app.state.q} - clew` : "clew";
    if (!isRestored) app.leaveLightbox();
    else app.state.open = null;
    if (keepFocus) return;
    const tile = app.grid.tile(id);
    if (tile) { app.grid.focusId = id; app.grid.updateTabStop(); tile.querySelector(".open").focus({ preventScroll: true, focusVisible: this.byKey }); }
    else this.returnTo?.focus?.({ preventScroll: true });
  }

  describeTime(seconds) {
    this.app.write(false, { t: seconds });
    return clock(seconds);
  }
}

function filmThread(points, width) {
  const confident = points.filter(({ item }) => level(item) !== "weak" && item.confidence != null);
  const node = svg("svg", { class: "ht", viewBox: `0 0 ${Math.max(1, width)} 8`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const end = confident.length === points.length ? width : (confident.at(-1)?.y ?? 0) + (confident.length ? 30 : 0);
  const group = svg("g", { transform: "matrix(0 1 1 0 0 4)" }); // the thread is drawn downwards
  if (confident.length) {
    const widths = confident.map(({ y, item }) => ({ y, width: threadWidth(item.confidence) * 0.55 }));
    group.append(svg("path", { class: "th", d: ribbon([{ ...widths[0], y: 0 }, ...widths, { y: end, width: widths.at(-1).width }], 0) }));
  }
  if (end < width) group.append(svg("path", { class: "th0", d: ribbon([{ y: end, width: 1.4 }, { y: width, width: 0.6 }], 0) }));
  node.append(group);
  return node;
}
