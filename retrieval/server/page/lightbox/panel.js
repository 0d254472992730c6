// What is known about an item: why it matched, when and where, and where it is on disk.

import { bytes, clock, dateParts, levelText, marked, number } from "../logic/format.js";
import { formatLine, isOnPage, markWords, parseLine, quoted, tokenType, withTerm } from "../logic/query.js";
import { thumbnailUrl } from "../model/api.js";
import { el, icon, iconButton, markedText } from "../view/dom.js";
import { momentsOf } from "./video.js";

const section = (title, ...children) => el("section", {}, title && el("h2", {}, title), ...children);

export class Panel {
  constructor(lightbox) {
    this.lightbox = lightbox;
    this.node = lightbox.side;
  }

  get app() {
    return this.lightbox.app;
  }

  /** Show an item; `full` is its details, or null while they are on the way. */
  show(item, full) {
    const details = full?.details ?? {};
    const folder = item.path ? item.path.split("/").slice(0, -1).join("/") : item.folder ?? "";
    const handle = el("button.handle", { type: "button", "aria-label": "Size of the panel", onclick: () => this.lightbox.setSheet({ low: "half", half: "full", full: "low" }[this.lightbox.sheet]) });
    this.node.replaceChildren(...[
      handle, el("h1", {}, item.name),
      el("div.path", {}, el("span", {}, folder), iconButtonSmall("copy", "Copy path (c)", () => this.lightbox.act("copy"))),
      item.kind === "video" && momentsOf(item).length > 1 ? this.moments(item) : this.why(item, full), this.terms(),
      item.kind === "video" && item.text && section(`Words at ${clock(item.start)}`, el("p", {}, "“", markedText(marked(item.text, markWords(this.app.state.q), Infinity)), "”")), this.passage(item, details), full && this.facts(item, details),
      this.texts(item, details), this.tags(details), this.recognized(details), this.copies(details),
    ].filter(Boolean));
  }

  fail(error) {
    this.node.append(section(null, el("p", {}, error.status === 404 ? "It is no longer in the library." : error.message)));
  }

  why(item, full) {
    const rows = (full?.why ?? []).filter((term) => (term.term ?? term.asked) != null).map((term) => this.term(term, item, full.why.length));
    const { chips, words } = parseLine(this.app.state.q);
    if (!rows.length && item.confidence != null && words.trim()) rows.push(bar(words, levelText(item), item.confidence));
    const fits = chips.filter((chip) => tokenType(chip) === "filter").map((chip) => el("li.ok", {}, icon("check", "s"), el("span", {}, el("span.mono", {}, chip), " fits")));
    const found = item.match === "words" ? [el("li.ok", {}, icon("check", "s"), el("span", {}, "all words found"))] : [];
    return rows.length + fits.length + found.length ? section("Why it matched", el("ul.why", {}, rows, found, fits)) : null;
  }

  term(term, item, count) {
    const name = term.term ?? term.asked, value = term.confidence ?? (count === 1 ? item.confidence : null);
    if (value != null) return bar(name, levelText({ confidence: value }), value);
    const tick = term.tick ?? null, score = term.score ?? 0;
    const share = tick ? Math.max(0, Math.min(1, (0.75 * score) / tick)) : Math.max(0, Math.min(1, score));
    return bar(name, `${term.weight < 0 ? "less, " : ""}${score.toFixed(2)}`, share, tick != null);
  }

  terms() {
    const button = (name, label) => el("button", { type: "button", title: `${label} (${name[0]})`, onclick: () => this.lightbox.act(name) }, icon(name), label);
    return section(null, el("div.rel", {}, button("more", "More like this"), button("less", "Less like this"), button("without", "Without this")));
  }

  moments(item) {
    const list = momentsOf(item).sort((a, b) => (b.confidence ?? 0) - (a.confidence ?? 0));
    const row = (moment) => el("li", { data: { start: moment.start } }, el("button", { type: "button", onclick: () => this.lightbox.view?.setTime?.(moment.start) },
      el("img", { src: thumbnailUrl(moment.id), alt: "", loading: "lazy" }),
      el("div", {}, el("b", {}, moment.end > moment.start ? `${clock(moment.start)} to ${clock(moment.end)}` : clock(moment.start)), el("small", {}, levelText(moment)))));
    return section("Matching moments, best first", el("ul.moms", {}, list.map(row)));
  }

  followMoment(moment) {
    for (const row of this.node.querySelectorAll(".moms li")) {
      Number(row.dataset.start) === moment?.start ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");
    }
  }

  facts(item, details) {
    const list = [], fact = (name, text, small) => list.push(icon(name), el("div", {}, text, small && el("small", {}, small)));
    const when = dateParts(details.taken ?? item.time);
    if (when) fact("calendar", `${[when.day, when.month, when.year].filter(Boolean).join(" ")}${when.time ? `, ${when.time}` : ""}`, when.weekday);
    if (details.camera) fact("camera", details.camera, [details.lens, details.exposure].flat().filter(Boolean).join(" \u00a0 "));
    if (details.latitude != null && details.longitude != null) {
      const place = `${details.latitude.toFixed(3)}, ${details.longitude.toFixed(3)}`;
      fact("pin", this.link(place, `near:${place.replace(" ", "")}`), details.nearby ? `${number(details.nearby)} more within 5 km` : null);
    }
    const type = (details.content_type ?? "").split(";")[0].split("/").at(-1).replace("plain", "text").toUpperCase();
    const size = bytes(details.size_bytes);
    const pixels = details.width && details.height ? `${details.width} × ${details.height}` : "";
    const id = el("span.mono", {}, `#${item.id}`);
    const small = el("span", {}, [item.kind === "video" ? pixels : "", type].filter(Boolean).join(" \u00a0 "), " \u00a0 ", id);
    if (item.kind === "video" || item.kind === "audio") fact(item.kind === "video" ? "play" : "sound", [item.duration && clock(item.duration), size].filter(Boolean).join(", ") || type, small);
    else if (isOnPage(item)) fact("page", `Page ${item.page ?? 1}${item.length ? ` of ${item.length}` : ""}${size ? `, ${size}` : ""}`, small);
    else fact(item.kind === "text" ? "text" : "picture", [pixels, size].filter(Boolean).join(", ") || type, small);
    if (item.library) fact("folder", item.library, "the library that has it");
    if (item.offline) fact("drive", "offline", "Its drive is not connected; the stored thumbnail is shown.");
    return section(null, el("div.facts", {}, list));
  }

  /** Return the passage of a page, unless it is recognized text, which follows. */
  passage(item, { recognized = [] }) {
    if (item.kind !== "text" || !isOnPage(item) || recognized.some((part) => part.text === item.text)) return null;
    return section("Passage", el("p", {}, markedText(marked(item.text ?? "", markWords(this.app.state.q), Infinity))));
  }

  /** Return a link that adds a filter to the line. */
  link(text, chip) {
    const { words, chips } = parseLine(this.app.state.q), line = formatLine(words, withTerm(chips, chip));
    return el("a", { href: this.app.href({ q: line, open: null }), title: chip, onclick: (event) => { event.preventDefault(); this.app.go(line); } }, text);
  }

  texts(item, details) {
    const words = markWords(this.app.state.q), captions = [details.caption, ...(details.captions ?? [])].filter(Boolean);
    const distinct = [...new Set(captions)];
    if (!distinct.length) return null;
    return section(distinct.length > 1 ? "Captions" : "Caption", distinct.map((text) => el("p", {}, markedText(marked(text, words, Infinity)))));
  }

  tags({ tags = [], labels = [] }) {
    const names = [...tags, ...labels].map((tag) => (typeof tag === "string" ? tag : tag.tag ?? tag.name ?? tag.label)).filter(Boolean);
    return names.length ? section("Tags", el("div.tags", {}, [...new Set(names)].map((name) => this.link(name, `tag:${quoted(name)}`)))) : null;
  }

  recognized({ recognized = [] }) {
    if (!recognized.length) return null;
    const light = (index, isOn) => () => this.lightbox.view?.light?.(index, isOn);
    const words = markWords(this.app.state.q);
    return section("Recognized text", el("div.tags", {}, recognized.map((part, i) => el("button", {
      type: "button", onpointerenter: light(i, true), onpointerleave: light(i, false), onfocus: light(i, true), onblur: light(i, false),
    }, markedText(marked(part.text, words, Infinity))))));
  }

  copies({ copies = [] }) {
    return copies.length ? section(copies.length === 1 ? "Also at" : `Also at ${copies.length} places`, copies.map((path) => el("p", {}, path))) : null;
  }
}

/** Return a row of a term with its bar and the tick at 0.75. */
function bar(name, text, share, hasTick = true) {
  const width = `${Math.round(100 * Math.min(0.99, share))}%`;
  return el("li", {}, el("span", {}, name), el("em.num", {}, text), el("div.b", {}, el("i", { style: { width } }), hasTick && el("u")));
}

const iconButtonSmall = (name, label, run) => { const node = iconButton(name, label, run); node.className = ""; node.firstChild.classList.add("s"); return node; };

