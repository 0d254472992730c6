// The map: points that are near have similar content; a lasso gives a grid.

import { counted, number } from "../logic/format.js";
import { justify, stackRows, tileRatio } from "../logic/layout.js";
import { inside, nearestName, nearestNames, nearestPoints, thinLasso } from "../logic/map_geometry.js";
import { exportFile, segments, thumbnailUrl } from "../model/api.js";
import { mapData } from "../model/lasso.js";
import { asShown } from "../model/results.js";
import { $, copyText, download, el, icon, iconButton, toast } from "./dom.js";
import { buildTile, loadPicture } from "./tile.js";

const MOST_NAMES = 12;
const MOST_TILES = 60; // in the panel
const PICTURES = 5; // of clusters
const PICTURES_TRIED = 8; // items near the middle of a cluster, until one has a picture
const MOST_DATED = 1000; // items whose years are looked up
const MIN_SHARE = 0.2; // of the points in a lasso, for a cluster to be named

export class MapView {
  constructor(app) {
    Object.assign(this, { app, isKnown: false, camera: [500, 500, 1], tool: "lasso" });
  }

  /** Show the button of the map if the library has one. */
  discover(status) {
    if (this.isKnown || !status?.map) return;
    this.isKnown = true;
    $(".views").hidden = false;
    this.mark();
    if (this.app.state.view === "map") this.show(true);
  }

  mark() {
    const isMap = this.app.state.view === "map";
    for (const [selector, isHere] of [[".to-grid", !isMap], [".to-map", isMap]]) {
      isHere ? $(selector).setAttribute("aria-current", "page") : $(selector).removeAttribute("aria-current");
    }
  }

  async show(isOn) {
    this.mark();
    if (!isOn) { this.node?.remove(); this.node = null; $("main.grid").inert = false; return; }
    if (this.node || !this.isKnown) return;
    this.build();
    const { node } = this;
    this.data = await mapData({ isOpened: true }).catch(() => this.data ?? null);
    if (!this.data || this.node !== node) return;
    const { state } = this.app;
    if (state.c) this.camera = state.c;
    this.lasso = state.lasso;
    this.resize();
    this.showPanel();
  }

  build() {
    this.canvas = el("canvas", { role: "img", "aria-label": "Map of the library: near points have similar content" });
    this.labels = el("div", { "aria-hidden": "true" });
    this.side = el("aside", { "aria-label": "In the map" });
    const tool = (name, label, run) => iconButton(name, label, run, { "aria-pressed": String(this.tool === name) });
    this.tools = el("div.mapctl", { role: "toolbar", "aria-label": "Map tools" },
      tool("lasso", "Lasso (a)", () => this.choose("lasso")), tool("move", "Move (hold Space)", () => this.choose("move")),
      iconButton("plus", "Zoom in (+)", () => this.zoom(1.5)), iconButton("minus", "Zoom out (-)", () => this.zoom(1 / 1.5)));
    this.node = el("div.map", { role: "region", "aria-label": "Map" }, el("div.c", {}, this.canvas, this.labels, this.tools, el("div.near", {}, "Near means similar. The axes have no meaning.")), this.side);
    $("#page").append(this.node);
    $("main.grid").inert = true;
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(-event.deltaY * 0.002), event); }, { passive: false });
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  choose(tool) {
    this.tool = tool;
    this.node.classList.toggle("moving", tool === "move");
    [...this.tools.children].slice(0, 2).forEach((button, i) => button.setAttribute("aria-pressed", String((i === 0) === (tool === "lasso"))));
  }

  resize() {
    if (!this.node) return;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = this.width * devicePixelRatio;
    this.canvas.height = this.height * devicePixelRatio;
    this.draw();
  }

  scale() {
    return [(this.width / 1000) * this.camera[2], (this.height / 1000) * this.camera[2]];
  }

  toScreen(x, y) {
    const [sx, sy] = this.scale();
    return [(x - this.camera[0]) * sx + this.width / 2, (y - this.camera[1]) * sy + this.height / 2];
  }

  toMap(px, py) {
    const [sx, sy] = this.scale();
    return [(px - this.width / 2) / sx + this.camera[0], (py - this.height / 2) / sy + this.camera[1]];
  }

  /** Draw all points in one pass: gray, or in the thread color in the lasso and by confidence. */
  draw() {
    if (!this.data || !this.node || !this.width) return;
    const { id, x, y } = this.data.points, context = this.canvas.getContext("2d");
    const probe = (name) => { const node = el("i", { style: { color: `var(${name})` } }); this.node.append(node); const color = getComputedStyle(node).color; node.remove(); return color; };
    const thread = probe("--thread-fill"), gray = probe("--line-2");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const outline = this.drawing ?? this.lasso;
    if (outline?.length > 2) this.drawLasso(context, outline, thread);
    this.chosen = [];
    const confidences = this.confidences();
    const isIn = this.lasso && !this.drawing ? inside(this.lasso) : () => false;
    for (let i = 0; i < id.length; i++) {
      const isLit = isIn(x[i], y[i]), confidence = confidences?.get(id[i]);
      if (isLit) this.chosen.push(id[i]);
      const [px, py] = this.toScreen(x[i], y[i]);
      if (px < -5 || py < -5 || px > this.width + 5 || py > this.height + 5) continue;
      context.globalAlpha = isLit ? 0.95 : confidence != null ? 0.25 + 0.7 * confidence : confidences ? 0.22 : 0.5;
      context.fillStyle = isLit || confidence >= 0.75 ? thread : gray;
      context.beginPath();
      context.arc(px, py, isLit || confidence >= 0.75 ? 2.5 : 1.9, 0, 6.3);
      context.fill();
    }
    context.globalAlpha = 1;
    this.drawNames();
  }

  drawLasso(context, points, color) {
    const list = points.map(([x, y]) => this.toScreen(x, y));
    context.beginPath();
    list.forEach((point, i) => {
      const next = list[(i + 1) % list.length], middle = [(point[0] + next[0]) / 2, (point[1] + next[1]) / 2];
      i ? context.quadraticCurveTo(...point, ...middle) : context.moveTo(...middle);
    });
    const [first, second] = list;
    context.quadraticCurveTo(...first, (first[0] + second[0]) / 2, (first[1] + second[1]) / 2);
    context.fillStyle = context.strokeStyle = color;
    context.globalAlpha = 0.1;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.stroke();
  }

  confidences() {
    const { items } = this.app.model ?? {};
    return items && this.app.model.hasLevels ? new Map(items.map((item) => [item.id, item.confidence])) : null;
  }

  /** Show at most twelve names that overlap neither each other nor the lasso. */
  drawNames() {
    const { offsetLeft: left, offsetTop: top, offsetWidth: w, offsetHeight: h } = this.tools;
    const room = { width: this.width, height: this.height, taken: [[left, top, left + w, top + h]] };
    const placed = nearestNames(this.data.names, (x, y) => this.toScreen(x, y), { ...room, most: MOST_NAMES, lasso: this.lasso, pictures: innerWidth < 768 ? 4 : PICTURES });
    this.labels.replaceChildren(...placed.map(({ name, left, top, hasPicture }, i) =>
      el("div.name", { class: i > 3 ? "few" : "", style: { left: `${left}px`, top: `${top}px` } },
        hasPicture && this.picture(name), el("span", {}, name.text, el("small.num", {}, number(name.count))))));
  }

  /** Return the picture of a cluster: of its nearest item that has one. */
  picture(name) {
    if (name.image !== undefined) return name.image;
    const { id, x, y } = this.data.points;
    const nearest = nearestPoints(name, x, y, PICTURES_TRIED).map((i) => id[i]);
    name.image = el("img", { alt: "", draggable: "false" });
    const next = () => {
      const other = nearest.shift();
      if (other != null) { name.image.src = thumbnailUrl(other); return; }
      name.image.remove();
      name.image = null;
    };
    name.image.addEventListener("error", next);
    next();
    return name.image;
  }

  press(event) {
    if (event.button) return;
    const isMove = this.tool === "move" || this.holding;
    this.canvas.setPointerCapture(event.pointerId);
    const at = (moved) => this.toMap(moved.offsetX, moved.offsetY);
    if (!isMove) { this.drawing = [at(event)]; this.lasso = null; }
    const move = (moved) => {
      if (isMove) {
        const [sx, sy] = this.scale();
        this.camera = [this.camera[0] - moved.movementX / sx, this.camera[1] - moved.movementY / sy, this.camera[2]];
      } else this.drawing.push(at(moved));
      this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", () => {
      this.canvas.removeEventListener("pointermove", move);
      if (!isMove) this.setLasso(this.drawing.length > 5 ? thinLasso(this.drawing) : null);
      else this.app.write(false, { c: this.camera });
    }, { once: true });
  }

  setLasso(points) {
    this.drawing = null;
    this.lasso = points;
    this.app.write(false, { lasso: points });
    this.draw();
    this.showPanel();
  }

  zoom(factor, event) {
    const [px, py] = event ? [event.offsetX, event.offsetY] : [this.width / 2, this.height / 2];
    const [x, y] = this.toMap(px, py), zoom = Math.min(20, Math.max(1, this.camera[2] * factor)), change = zoom / this.camera[2];
    this.camera = zoom === 1 ? [500, 500, 1] : [x - (x - this.camera[0]) / change, y - (y - this.camera[1]) / change, zoom];
    this.draw();
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.app.write(false, { c: zoom === 1 ? null : this.camera }), 250);
  }

  /** Show what is in the lasso, or the list of clusters, which is the map as text. */
  showPanel() {
    this.draw();
    this.node.classList.toggle("alone", !this.lasso);
    this.side.replaceChildren(...(this.lasso ? this.lassoPanel() : this.clusterPanel()));
    this.resize();
    if (this.lasso) this.fillTiles();
  }

  clusterPanel() {
    const around = (name) => {
      const { x, y } = name, r = 55;
      this.setLasso(Array.from({ length: 16 }, (_, i) => [x + r * Math.cos((i / 16) * 6.2832), y + r * Math.sin((i / 16) * 6.2832)]));
    };
    return [el("h1", {}, counted(this.data.points.id.length, "item")), this.data.sampled && el("p", {}, "A sample: the map shows 20,000 items at most."),
      el("p", {}, "Draw around points, or choose a group."),
      el("div.clusters", {}, this.data.names.map((name) => el("button", { type: "button", onclick: () => around(name) }, name.text, el("span.num", {}, number(name.count)))))].filter(Boolean);
  }

  lassoPanel() {
    const ids = this.chosen;
    this.about = el("p", {}, this.mostly());
    const button = (name, text, run, isMain) => el("button.btn2", { type: "button", class: isMain ? "main" : "", onclick: run }, icon(name), text);
    return [el("h1", { tabindex: "-1" }, el("span.num", {}, number(ids.length)), " in the lasso"), this.about,
      el("div.acts2", {}, button("search", "Search inside", () => this.searchInside(), true), button("copy", "Copy paths", () => this.copyPaths()), button("down", "Export", () => this.export())),
      el("div.mini", { role: "list" })].filter(Boolean);
  }

  /** Return the clusters of what is in the lasso, such as "Mostly dog (221) and snow (198)". */
  mostly() {
    const { id, x, y } = this.data.points, { names } = this.data, counts = new Map();
    const chosen = new Set(this.chosen);
    for (let i = 0; i < id.length; i++) {
      const name = chosen.has(id[i]) ? nearestName(names, x[i], y[i]) : null;
      if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 2).filter(([, count]) => count >= MIN_SHARE * chosen.size);
    return most.length ? `Mostly ${most.map(([name, count]) => `${name.text} (${number(count)})`).join(" and ")}` : "";
  }

  async fillTiles() {
    const { chosen, lasso } = this;
    if (!chosen.length) return;
    const items = await segments(chosen.slice(0, MOST_TILES)).catch(() => []);
    if (this.lasso !== lasso || !this.node) return;
    this.drawTiles(items.map(asShown));
    if (chosen.length > MOST_DATED) return;
    const rest = chosen.length > MOST_TILES ? await segments(chosen.slice(MOST_TILES)).catch(() => []) : [];
    const years = [...items, ...rest].map((item) => item.time?.slice(0, 4)).filter(Boolean).sort();
    if (this.lasso !== lasso || !years.length) return;
    const first = years[0], last = years.at(-1), span = first === last ? first : `${first} to ${last}`;
    this.about.textContent = [this.about.textContent, span].filter(Boolean).join(", ");
  }

  drawTiles(items) {
    const mini = $(".mini", this.side), gap = 4;
    const { rows, height } = stackRows(justify(items.map(tileRatio), mini.clientWidth, 84, gap), gap);
    mini.style.height = `${height}px`;
    const context = { words: [], href: (item) => this.app.href({ open: item.id }) };
    mini.replaceChildren(...rows.flatMap((row) => {
      let x = 0;
      return items.slice(row.from, row.to).map((item, i) => {
        const tile = buildTile({ ...item, more: [] }, row.widths[i], row.height, context);
        tile.setAttribute("role", "listitem");
        Object.assign(tile.style, { left: `${x}px`, top: `${row.top}px`, width: `${row.widths[i]}px`, height: `${row.height}px` });
        $(".open", tile).tabIndex = 0;
        $(".open", tile).addEventListener("click", (event) => { event.preventDefault(); this.app.open(item); });
        x += row.widths[i] + gap;
        loadPicture(tile, item);
        return tile;
      });
    }));
  }

  searchInside() {
    this.app.setView("grid", this.lasso);
    if (matchMedia("(hover: hover)").matches) this.app.box.input.focus(); // single keys would do other things
  }

  /** Return the list of the paths in the lasso as a blob; null if the server refuses, which is said. */
  paths() {
    return exportFile(this.chosen, "list").then((response) => response.blob()).catch((error) => toast(error.message));
  }

  async copyPaths() {
    const blob = await this.paths();
    if (blob) copyText((await blob.text()).trim(), `${number(this.chosen.length)} paths copied`);
  }

  async export() {
    const blob = await this.paths();
    if (blob) download(URL.createObjectURL(blob), "clew-list.txt");
  }

  key(event) {
    if (event.key === "a") this.choose("lasso");
    else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === " " && event.target.tagName !== "BUTTON") {
      this.holding = true;
      addEventListener("keyup", () => (this.holding = false), { once: true });
    } else return false;
    return true;
  }

  escape() {
    if (!this.lasso) return false;
    this.setLasso(null);
    return true;
  }
}
