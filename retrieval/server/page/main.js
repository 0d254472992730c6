// Joins the parts of the page: the query line and the URL are the state, everything else follows from them.

import { formatAddress, parseAddress } from "./logic/address.js";
import { counted } from "./logic/format.js";
import { chosenKind, formatLine, isFiltersOnly, markWords, parseLine, withKind, withTerm } from "./logic/query.js";
import { details, facets, mediaUrl, searchPicture, segments, status } from "./model/api.js";
import { fetchResults, Results, WEAK } from "./model/results.js";
import { Selection } from "./model/selection.js";
import { fetchTimeline } from "./model/timeline.js";
import { Bar } from "./view/bar.js";
import { Box } from "./view/box.js";
import { $, announce, copyText, download, el, stylesheet, toast } from "./view/dom.js";
import { Grid } from "./view/grid.js";
import { listenForKeys } from "./view/keyboard.js";
import { listenForTouch } from "./view/touch.js";
import { listenForPictures } from "./view/pictures.js";
import { Rail } from "./view/rail.js";
import { SelectionBar } from "./view/selection_bar.js";
import { markPages } from "./view/tile.js";
import { empty, indexing, noneFits, nothing, offline, readAs, serverGone } from "./view/states.js";

const DEBOUNCE = 120; // milliseconds
const PAUSE = 600; // milliseconds without a key, after which a line is called invalid
const KEPT_MODELS = 6; // so that Back shows what was there without a request

class App {
  constructor() {
    history.scrollRestoration = "manual";
    this.state = parseAddress(location.search);
    this.models = new Map();
    this.kindCounts = new Map();
    this.box = new Box($(".box"));
    this.bar = new Bar($(".bar"));
    this.selection = new Selection();
    this.grid = new Grid({ root: $("main.grid"), canvas: $(".canvas"), href: (item) => this.href({ open: item.id }), isSelected: (id) => this.selection.has(id) });
    this.rail = new Rail({ node: $(".rail"), link: $("svg.link"), grid: this.grid });
    this.lightbox = { isOpen: false, close() {}, open: (...options) => this.loadLightbox().then((lightbox) => lightbox.open(...options)) };
    this.map = { isKnown: false, show() {}, discover: (found) => found?.map && this.loadMap(found) };
    this.selectionBar = new SelectionBar(this);
    this.listen();
  }

  href(patch) {
    return `/${formatAddress({ ...this.state, at: null, t: null, p: null, ...patch })}`;
  }

  listen() {
    const { box, bar, grid } = this;
    box.addEventListener("type", () => this.typed());
    box.addEventListener("commit", () => this.go(box.line));
    box.addEventListener("clear", () => this.go("", { lasso: null }));
    box.addEventListener("go", () => box.input.select());
    box.addEventListener("down", () => this.go(box.line).then(() => grid.focusEdge(false)));
    box.addEventListener("picture", (event) => this.usePicture(event.detail));
    bar.addEventListener("kind", (event) => box.setChips(withKind(box.chips, event.detail)));
    bar.addEventListener("order", (event) => this.setOrder(event.detail));
    bar.addEventListener("offer", (event) => this.accept(event.detail));
    grid.addEventListener("scrolled", () => this.saveScroll());
    grid.canvas.addEventListener("click", (event) => this.click(event));
    addEventListener("popstate", (event) => this.restore(event.state));
    $(".brand").addEventListener("click", (event) => { event.preventDefault(); this.go("", { lasso: null }); });
    $(".to-grid").addEventListener("click", (event) => { event.preventDefault(); this.setView("grid"); });
    $(".to-map").addEventListener("click", (event) => { event.preventDefault(); this.setView("map"); });
    this.selection.addEventListener("change", () => { grid.refreshSelection(); this.selectionBar.update(); this.saveState(); });
    document.addEventListener("visibilitychange", () => document.hidden || this.watchStatus());
    listenForKeys(this);
    listenForTouch(this);
    listenForPictures((file) => this.usePicture(file));
    if (document.fonts) document.fonts.ready.then(() => box.fit());
  }

  /** Load what the first view does not need. */
  loadLightbox() {
    this.lightboxLoading ??= Promise.all([import("./lightbox/lightbox.js"), stylesheet("/page/stage.css")])
      .then(([{ Lightbox }]) => (this.lightbox = new Lightbox(this)));
    return this.lightboxLoading;
  }

  async loadMap(found) {
    this.map.discover = () => null;
    const [{ MapView }] = await Promise.all([import("./view/map.js"), stylesheet("/page/stage.css")]);
    this.map = new MapView(this);
    this.map.discover(found);
  }

  async start() {
    this.showLine();
    this.selection.restore(history.state?.selected);
    this.watchStatus();
    await this.run(this.state.at);
    if (this.state.open != null) this.lightbox.open(this.state.open, { isRestored: true });
    else (window.requestIdleCallback ?? setTimeout)(() => this.loadLightbox());
  }

  /** Show the line and the lasso of the address in the box. */
  showLine() {
    const remove = () => { this.write(true, { lasso: null }); this.showLine(); this.run(); };
    this.box.extra = this.isInside ? { text: "in lasso", remove } : null;
    this.box.set(this.state.q);
  }

  /** True if only items of a lasso are shown: an address of the grid that has one. */
  get isInside() {
    return Boolean(this.state.lasso) && this.state.view !== "map";
  }

  // The address

  write(push, patch = {}) {
    Object.assign(this.state, patch);
    const address = `/${formatAddress(this.state)}`;
    const saved = { typing: false, ...(push ? {} : history.state), ...this.place(), ...patch.saved };
    clearTimeout(this.saving);
    this.saving = null;
    history[push ? "pushState" : "replaceState"](saved, "", address);
    document.title = this.state.q ? `${this.state.q} - clew` : "clew";
  }

  place() {
    return { selected: this.selection.ids().slice(0, 2000) };
  }

  saveState() {
    this.write(false);
  }

  saveScroll() {
    if (this.saving || this.lightbox.isOpen || this.state.view === "map") return;
    this.saving = setTimeout(() => {
      this.saving = null;
      if (this.lightbox.isOpen) return;
      const anchor = scrollY > 0 ? this.grid.anchor() : null;
      this.write(false, { at: anchor?.id != null ? anchor : null, saved: { near: this.grid.rank(anchor?.id) } });
    }, 250);
  }

  async restore(saved) {
    const before = this.state;
    this.state = parseAddress(location.search);
    const isSame = ["q", "order", "view"].every((name) => before[name] === this.state[name]) && String(before.lasso) === String(this.state.lasso);
    if (isSame) {
      if (this.state.open != null) return this.lightbox.open(this.state.open, { isRestored: true });
      this.lightbox.close({ isRestored: true });
      return this.saveScroll(); // of the picture that was shown last
    }
    this.lightbox.close({ isRestored: true, keepFocus: true });
    this.showLine();
    this.map.show(this.state.view === "map");
    await this.run(this.state.at, { isKept: true });
    this.selection.restore(saved?.selected);
    if (this.state.open != null) this.lightbox.open(this.state.open, { isRestored: true });
  }

  // Searches

  typed() {
    for (const timer of [this.timer, this.complaining]) clearTimeout(timer);
    this.timer = setTimeout(() => {
      if (this.box.line === this.state.q) return;
      this.write(!history.state?.typing, { q: this.box.line, at: null, saved: { typing: true } });
      this.selection.clear({ silent: true });
      this.run();
    }, DEBOUNCE);
  }

  /** Search a line now, as its own step in the history. */
  go(line, { lasso = this.isInside ? this.state.lasso : null } = {}) {
    clearTimeout(this.timer);
    const isMap = this.state.view === "map", isNew = line !== this.state.q || isMap || lasso !== this.state.lasso;
    if (isNew) {
      this.write(true, { q: line, view: "grid", lasso, at: null, open: null, saved: { typing: false, selected: [] } });
      this.selection.clear({ silent: true });
      if (isMap) this.map.show(false);
    } else {
      this.write(false, { saved: { typing: false } });
    }
    if (!isNew || !chosenKind(parseLine(line).chips)) this.kindCounts.clear();
    this.showLine();
    this.lightbox.close({ isRestored: true, keepFocus: true });
    return this.run();
  }

  setOrder(order) {
    if (order === this.state.order) return;
    this.write(true, { order, at: null });
    this.run(null, { isKept: true });
  }

  setView(view, lasso = null) {
    if (view === this.state.view) return;
    this.write(true, { view, lasso: view === "map" ? this.map.lasso ?? null : lasso, at: null });
    this.map.show(view === "map");
    this.showLine();
    if (view === "grid") this.run(null, { isKept: true });
  }

  accept(offer) {
    if (offer.type === "read") this.go(readAs(this.box.line, offer));
    else this.box.setChips(withTerm(this.box.chips, offer.token));
  }

  /** Append a term such as `+ #12` to the line. */
  addTerm(sign, id) {
    const term = sign === "not" ? `not:#${id}` : `${sign} #${id}`;
    this.box.settle(-1);
    this.go(formatLine(this.box.input.value, withTerm(this.box.chips, term)));
  }

  addTerms(sign, ids) {
    const chips = ids.slice(0, 8).reduce((list, id) => withTerm(list, `${sign} #${id}`), this.box.chips);
    this.go(formatLine(this.box.input.value, chips));
  }

  async usePicture(file) {
    this.box.wait(true);
    try {
      const answer = await searchPicture(file, { count: 1 });
      if (!answer.picture) throw new Error("The server did not keep the picture.");
      this.box.pictures.set(answer.picture, URL.createObjectURL(file));
      const chips = this.box.chips.filter((chip) => !/pic:/.test(chip));
      await this.go(formatLine(this.box.input.value, [...chips, `+pic:${answer.picture}`]));
    } catch (error) {
      toast(error.message);
    } finally {
      this.box.wait(false);
    }
  }

  /** Show the state: from memory if it is to be as it was shown before, else from the server. Old results stay until then. */
  async run(anchor = null, { isKept } = {}) {
    this.request?.abort();
    const request = (this.request = new AbortController());
    this.gone?.stop?.();
    for (const timer of [this.retry, this.complaining]) clearTimeout(timer);
    const waiting = setTimeout(() => this.box.wait(true), 300);
    try {
      const model = await this.fetchModel(request.signal, isKept);
      if (request.signal.aborted) return;
      this.model = model;
      this.box.complain(null);
      if (anchor && model.load) await this.loadAt(model, anchor, request.signal);
      if (request.signal.aborted) return;
      this.show(anchor);
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error, () => this.run(anchor));
    } finally {
      clearTimeout(waiting);
      if (this.request === request) this.box.wait(false);
    }
  }

  /** Return what the address asks for; `isKept` as it was shown before, if it was. */
  async fetchModel(signal, isKept) {
    const { q, order } = this.state;
    if (this.isInside) return this.fetchInside(signal);
    const model = (isKept && this.models.get(q)) || (await (isFiltersOnly(q) ? fetchTimeline(q, signal) : fetchResults(q, signal)));
    this.keep(q, model);
    if (order === "date") await model.complete?.();
    return model;
  }

  /** Return the hits inside the lasso, or without words its items. */
  async fetchInside(signal) {
    const { q, lasso } = this.state;
    const { idsInside } = await import("./model/lasso.js");
    const ids = await idsInside(lasso);
    const model = q.trim()
      ? await fetchResults(q, signal, { isAll: true })
      : new Results(q, { items: ids.size ? await segments([...ids].slice(0, 1000), signal) : [], cursor: null });
    return Object.assign(model, { inside: ids, cut: !q.trim() && ids.size > 1000 ? ids.size : null });
  }

  keep(key, model) {
    this.models.delete(key);
    this.models.set(key, model);
    if (this.models.size > KEPT_MODELS) this.models.delete(this.models.keys().next().value);
  }

  /** Load the month of a tile that is to be restored. */
  async loadAt(model, { id }, signal) {
    if (model.list.some((section) => section.items.some((item) => item.id === id))) return;
    const item = await details(id, null, signal).catch(() => null);
    const month = item?.time?.slice(0, 7) ?? history.state?.near?.key.slice(1);
    const section = model.list.find((other) => other.month === month);
    const isThere = () => section.items.some((other) => other.id === id) || (!item && section.items.length);
    while (section && section.items.length < section.total && !isThere()) {
      const before = section.items.length;
      await model.load(section);
      if (section.items.length === before) break;
    }
  }

  /** Show an error; one that may pass is followed by `retry`. */
  fail(error, retry) {
    if (error.status === 503) {
      const seconds = error.retryAfter;
      this.setLead(el("p.note", {}, `Busy. Trying again in ${seconds} s.`));
      clearTimeout(this.retry);
      this.retry = setTimeout(retry, seconds * 1000);
    } else if (error.status === 0) {
      this.gone?.stop();
      this.gone = serverGone(error, 4, retry);
      this.setLead(this.gone);
      if (this.gone.getBoundingClientRect().bottom < this.grid.stickyHeight()) toast("The server does not answer. It is asked again.");
    } else if (/pic:/.test(this.state.q) && /picture/i.test(error.message)) {
      this.box.complain({ message: "This picture is gone. Drop it again." });
    } else {
      this.complain(error, history.state?.typing ? PAUSE : 0);
    }
  }

  /** Show what the server does not understand, but not while a value is typed or chosen. */
  complain(error, wait = 0) {
    if (!wait && !this.box.popover) return this.box.complain(error);
    this.complaining = setTimeout(() => this.complain(error, this.box.popover ? PAUSE : 0), wait);
  }

  setLead(...nodes) {
    $(".lead").replaceChildren(...nodes.flat().filter(Boolean));
    this.grid.request();
  }

  show(anchor) {
    const isTimeline = Boolean(this.model.load);
    this.model.order = this.state.order;
    this.bar.showOrder(isTimeline || !this.model.hasLevels || !this.model.confident ? null : this.state.order);
    const context = { words: markWords(this.state.q), order: isTimeline ? "time" : this.state.order, onTiles: (tiles) => { this.fillTexts(tiles); markPages(tiles, context.words); } };
    if (isTimeline) this.showTimeline(context, anchor);
    else this.showResults(context, anchor);
    if (this.state.view === "map") this.map.draw?.();
    this.showOffers();
  }

  showTimeline(context, anchor) {
    const { model } = this;
    model.onload = (section) => this.model === model && this.grid.refresh(section);
    const again = () => { this.setLead(this.drives()); model.resume(); this.grid.request(); };
    model.onerror = (error) => this.model === model && this.fail(error, again);
    const isEmpty = !model.total && !this.state.q;
    this.setLead(isEmpty ? this.emptyPage() : null, !model.total && this.state.q ? noneFits(this.state.q, (line) => this.go(line)) : null, this.drives());
    this.bar.showIndexing(model.total ? this.status?.indexing : null);
    this.rail.setMode("time");
    this.grid.show(model.sections(), context, anchor);
    $(".tail").replaceChildren();
    this.showTimelineKinds();
    announce(model.total ? counted(model.total, "item") : "Nothing fits");
  }

  emptyPage() {
    return this.status?.indexing ? indexing(this.status) : empty();
  }

  drives() {
    return offline(this.status?.offline ?? []);
  }

  async showTimelineKinds() {
    const { chips } = parseLine(this.state.q), model = this.model;
    const rest = formatLine("", withKind(chips, null));
    const answer = this.kindCounts.get(rest) ?? await facets(rest).catch(() => null);
    if (!answer || this.model !== model) return;
    this.kindCounts.set(rest, answer);
    if (Object.keys(answer.kinds ?? {}).length) this.bar.showKinds("Everything", { counts: answer.kinds }, chosenKind(chips));
    else this.bar.kinds.replaceChildren();
  }

  showResults(context, anchor) {
    const { model } = this, { chips, words } = parseLine(this.state.q);
    const sections = model.sections(() => this.loadMore());
    const strong = model.of("strong").length, { confident } = model;
    const isNothing = model.hasLevels && !confident;
    const rest = formatLine(words, withKind(chips, null));
    const kind = chosenKind(chips);
    if (!kind && !model.inside) this.kindCounts.set(rest, { counts: model.kinds(), plus: model.missing() ? "+" : "" });
    const total = model.inside?.size ?? model.answer.total ?? null;
    this.setLead(isNothing ? nothing(model, total, (line) => this.go(line), this.isInside && (() => this.box.extra.remove())) : null,
      !model.items.length && !isNothing ? noneFits(this.state.q, (line) => this.go(line)) : null, this.drives(),
      model.cut && el("p.note", {}, `The first 1,000 of ${counted(model.cut, "item")} in the lasso.`));
    if (isNothing) this.bar.say(total != null ? `${counted(total, "item")} searched` : "");
    else this.showResultKinds(kind, rest);
    this.rail.setMode(!model.hasLevels ? null : this.state.order === "date" && confident ? "time" : "confidence");
    this.grid.show(sections, context, anchor);
    this.showTail();
    announce(!model.hasLevels ? counted(model.items.length, "item") : confident ? `${counted(confident, "match", "matches")}, ${strong} strong` : "Nothing here matches well");
  }

  /** Show how many hits of each kind a line finds without its kind. */
  async showResultKinds(kind, rest) {
    const { model } = this, own = { counts: model.kinds(), plus: model.missing() ? "+" : "" };
    const found = model.inside ? own : this.kindCounts.get(rest);
    this.bar.showKinds("All", found ?? { ...own, isPart: true }, kind);
    if (found || model.inside) return;
    const all = this.models.get(rest) ?? (await fetchResults(rest).catch(() => null));
    if (!all?.kinds) return;
    this.kindCounts.set(rest, { counts: all.kinds(), plus: all.missing() ? "+" : "" });
    if (this.model === model) this.bar.showKinds("All", this.kindCounts.get(rest), kind);
  }

  showTail() {
    const { model } = this;
    const more = () => { model.weakShown += WEAK; this.loadMore({ isAsked: true }); };
    const ends = model.hasLevels && !model.missing() && model.items.length;
    $(".tail").replaceChildren(...(!ends ? [] : model.hasMoreWeak() && model.of("weak").length
      ? [el("button.btn2", { type: "button", onclick: more }, `${WEAK} more`)]
      : [el("p", {}, "That is all")]));
  }

  /** Load the next hits and show them below; what is shown stays where it is. */
  async loadMore({ isAsked } = {}) {
    const { model } = this;
    if (model.loading) return;
    try {
      const isShort = model.missing() || !model.hasLevels || model.of("weak").length < model.weakShown;
      if (!(isShort && (await model.more())) && !isAsked) return;
    } catch (error) {
      return this.model === model && this.fail(error, () => { this.setLead(this.drives()); this.loadMore({ isAsked }); });
    }
    if (this.model !== model) return;
    const anchor = this.grid.anchor();
    this.showResults(this.grid.context, anchor?.id != null ? anchor : null);
  }

  showOffers() {
    this.bar.hideOffers();
    clearTimeout(this.offering);
    const { model } = this;
    if (model.answer?.offers) this.offering = setTimeout(() => this.model === model && this.bar.showOffers(model.answer.offers), 280);
  }

  /** Request the texts of passages in the time grid, whose columns have none. */
  fillTexts(tiles) {
    const asked = new Map(tiles.filter(({ item }) => item.kind === "text" && item.text == null && !item.asked).map((tile) => [tile.item.id, tile]));
    if (!asked.size) return;
    for (const { item } of asked.values()) item.asked = true;
    segments([...asked.keys()]).then((found) => found.forEach(({ id, text, start }) => {
      const tile = asked.get(id), words = tile.querySelector(".words");
      tile.item.text = text ?? "";
      if (start) tile.item.start ??= start;
      if (words) words.textContent = tile.item.text.slice(0, 400);
    })).catch(() => null);
  }

  // Tiles

  async click(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const { item } = tile, button = event.target.closest("button");
    const isPick = button?.classList.contains("pick") || event.ctrlKey || event.metaKey || event.shiftKey;
    if (!isPick && event.button) return;
    event.preventDefault();
    if (this.grid.suppressClick) return;
    if (isPick) return event.shiftKey ? this.selection.extendTo(item.id, this) : this.selection.toggle(item.id);
    if (button?.dataset.act) return this.act(button.dataset.act, item);
    this.open(item, { play: button?.classList.contains("play") });
  }

  open(item, options = {}) {
    const t = item.kind === "video" || item.kind === "audio" ? (item.timed || item.start != null ? item.start ?? null : null) : null;
    this.grid.focusId = item.id;
    this.write(true, { open: item.id, t, p: item.kind === "page" ? item.page : null, at: this.grid.anchor()?.id != null ? this.grid.anchor() : this.state.at, saved: { isOpened: true } });
    this.lightbox.open(item.id, options);
  }

  /** Leave the address of the lightbox, by a step back if opening it was a step. */
  leaveLightbox() {
    if (history.state?.isOpened) { Object.assign(this.state, { open: null, t: null, p: null }); history.back(); }
    else this.write(false, { open: null, t: null, p: null });
  }

  act(name, item) {
    if (name === "more") this.addTerm("+", item.id);
    else if (name === "less") this.addTerm("-", item.id);
    else if (name === "without") this.addTerm("not", item.id);
    else if (name === "similar") this.go(`#${item.id}`);
    else if (name === "copy") this.copyPath(item);
    else if (name === "download") download(mediaUrl(item.id, { download: 1 }), item.name);
    else if (name === "spread") this.spread(item);
  }

  async copyPath(item) {
    const path = item.path ?? (await details(item.id)).path;
    copyText(path, "Path copied");
  }

  /** Show the items of a stack in place of its leader. */
  spread(item) {
    if (!item.more?.length || !this.model.items) return;
    const at = this.model.items.indexOf(item);
    if (at < 0) return;
    const members = item.more.map((other) => ({ ...item, ...other, more: [] }));
    this.model.items.splice(at, 1, { ...item, more: [] }, ...members);
    const anchor = this.grid.anchor();
    this.grid.show(this.model.sections(() => this.loadMore()), this.grid.context, anchor);
    this.grid.focusItem(item.id);
  }

  confidentIds() {
    return this.model.strongAndLikely ? this.model.strongAndLikely().map((item) => item.id) : this.grid.items().map((item) => item.id);
  }

  // The server's state

  /** Request the status now, and again after a while; a hidden page waits until it is shown. */
  async watchStatus() {
    if (!document.hidden) await this.updateStatus();
    clearTimeout(this.watching);
    this.watching = setTimeout(() => this.watchStatus(), this.status?.indexing ? 3000 : 30000);
  }

  async updateStatus() {
    const before = this.status;
    this.status = await status().catch(() => before ?? null);
    this.map.discover(this.status);
    this.bar.showIndexing(this.model?.total === 0 ? null : this.status?.indexing);
    const changed = JSON.stringify([before?.offline, before?.indexing && 1]) !== JSON.stringify([this.status?.offline, this.status?.indexing && 1]);
    if (this.model && (changed || (this.model.total === 0 && !this.state.q && this.status?.indexing))) this.refreshLead();
  }

  refreshLead() {
    if (this.model.load && !this.state.q && !this.model.total) this.setLead(this.emptyPage(), this.drives());
    else if (!$(".lead .say, .lead .none")) this.setLead(this.drives());
  }
}

const app = new App();
window.clew = app; // for tests and the curious
app.start();
