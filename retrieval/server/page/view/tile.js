// A tile: recognizable without reading, by kind.

import { thumbnailUrl, wordsOnPage } from "../model/api.js";
import { clock, date, level, levelText, marked, tileName } from "../logic/format.js";
import { placeholderUrl } from "../logic/thumbhash.js";
import { el, icon, markedText, svg } from "./dom.js";

const MAX_MARKING = 2; // requests at a time
const BADGE_SLACK = 0.5; // seconds at the start of a video that are no moment

/** Return a gridcell of an item. `context` has words to mark, `dated` for the time grid, and `href`. */
export function buildTile(item, width, height, context) {
  const link = el("a.open", { href: context.href(item), tabindex: "-1", "aria-label": tileName(item), draggable: "false" });
  const tile = el("div.tile", { role: "gridcell", data: { id: item.id }, class: tileClass(item) }, link);
  (BODIES[item.kind] ?? pictureBody)(tile, link, item, { ...context, width, height });
  if (item.more?.length) addStack(tile, link, item);
  if (item.offline) link.append(el("span.badge.bl", {}, icon("drive"), "offline"));
  if (context.order === "date" && item.confidence != null && !isWeak(item)) addDateThread(tile, item, width);
  tile.append(el("button.pick", { type: "button", tabindex: "-1", title: "Select (x)", "aria-label": "Select (x)" }, icon("check")));
  return tile;
}

function tileClass(item) {
  const names = { video: "v", page: "paper", text: "text", audio: "sound" };
  return [names[item.kind], item.more?.length && "stack", item.offline && "off"].filter(Boolean).join(" ");
}

const hasPicture = (item) => item.thumbnail !== false && item.kind !== "text" && item.kind !== "audio";

function pictureBody(tile, link, item) {
  if (!hasPicture(item)) link.append(el("span.src", {}, icon("picture"), el("span", {}, item.name)));
  else setPlaceholder(link, item);
}

function setPlaceholder(node, item) {
  const url = placeholderUrl(item.placeholder);
  if (url) node.style.backgroundImage = `url("${url}")`;
}

const BODIES = {
  video(tile, link, item, context) {
    pictureBody(tile, link, item);
    const isMoment = !context.dated && item.start != null && (item.start > BADGE_SLACK || item.moments?.length);
    const length = item.duration != null ? clock(item.duration) : null;
    if (isMoment || length) {
      const text = isMoment ? [clock(item.start), length && el("span.q", {}, `of ${length}`)] : [length];
      tile.append(el("button.badge.bl.play", { type: "button", tabindex: "-1", "aria-label": "Play" }, icon("play"), ...text));
    }
    if (!context.dated && item.duration) link.append(momentBar(item));
  },
  page(tile, link, item, { width, height }) {
    const ratio = item.ratio || 0.77, high = Math.min(height - 48, (width - 24) / ratio);
    const sheet = el("span.sheet", { style: { width: `${Math.round(high * ratio)}px`, height: `${Math.round(high)}px` } });
    if (hasPicture(item)) setPlaceholder(sheet, item);
    link.append(sheet, source("page", item.name, item.page ? `p. ${item.page}` : null));
  },
  text(tile, link, item, context) {
    const text = item.text ?? "", isSmall = innerWidth < 768;
    const { padding, font, high } = isSmall ? { padding: 34, font: 6.6, high: 18 } : { padding: 47, font: 7.6, high: 22.5 };
    const letters = Math.max(8, Math.floor((context.width - 30) / font)); // of a line
    const lines = Math.min(4, Math.max(1, Math.floor((context.height - padding) / high)));
    link.append(el("span.words", { style: { "-webkit-line-clamp": lines } },
      markedText(marked(text.slice(0, 1200), context.words, lines > 1 ? letters : letters / 3))));
    const line = item.start == null ? null : item.timed ? clock(item.start) : `line ${item.start}`;
    link.append(source("text", item.name, item.page ? `p. ${item.page}` : line));
  },
  audio(tile, link, item) {
    const said = item.text ? item.text.slice(0, 60) : null;
    const where = [item.start != null && item.timed ? clock(item.start) : null, said].filter(Boolean).join(", ");
    link.append(plainWave(item), source("sound", item.name, where || (item.duration ? clock(item.duration) : null)));
  },
};

function source(name, file, place) {
  return el("span.src", {}, icon(name), el("span", {}, file ?? ""), place && el("em", {}, place));
}

/** Return the bar of a video with its matching moments lit. */
function momentBar(item) {
  const lit = [item, ...(item.moments ?? [])].filter((moment) => moment.start != null);
  const share = (seconds) => `${Math.min(100, (100 * seconds) / item.duration).toFixed(2)}%`;
  return el("span.moments", {}, lit.map((moment) => el("b", {
    style: { left: share(moment.start), width: share(Math.max(0, (moment.end ?? moment.start) - moment.start)) },
  })));
}

/** Return bars in place of a waveform, which is not stored; those of the matching stretch are lit. */
function plainWave(item) {
  const wave = svg("svg", { class: "w", viewBox: "0 0 202 44", preserveAspectRatio: "none", "aria-hidden": "true" });
  const total = item.duration || 1, from = (item.start ?? 0) / total, to = (item.end ?? item.start ?? 0) / total;
  for (let i = 0; i < 46; i++) {
    const at = (i + 0.5) / 46, isLit = item.timed && item.start != null && at >= from && at <= Math.max(to, from + 0.02);
    const height = 6 + 10 * Math.abs(Math.sin(i * 1.7 + item.id)) + (isLit ? 14 : 0);
    wave.append(svg("rect", { class: isLit ? "lit" : "", x: i * 4.4, y: 22 - height / 2, width: 2.6, height, rx: 1.3 }));
  }
  return wave;
}

function addStack(tile, link, item) {
  tile.prepend(el("span.edge"), el("span.edge"));
  link.append(el("span.badge.tr", {}, icon("stack"), String(item.more.length + 1)));
}

function addDateThread(tile, item, width) {
  const share = Math.max(0, (item.confidence - 0.75) / 0.25);
  tile.append(el("span.date-thread", { style: { width: `${Math.max(12, Math.round(share * width))}px` } }));
}

/** Add the strip and the buttons that hover and focus show. */
export function addHover(tile, item) {
  if (tile.querySelector(".acts")) return;
  const act = (name, label) => el("button", { type: "button", tabindex: "-1", data: { act: name }, title: label, "aria-label": label }, icon(name));
  tile.append(
    el("span.acts", {}, act("more", "More like this (m)"), act("less", "Less like this (l)"), act("without", "Without this (w)")),
    el("span.strip", {}, el("span", {}, date(item.time) || item.name), el("span", {}, levelText(item))),
  );
}

/** Load the picture of a tile, at most once. A picture that took long fades in. */
export function loadPicture(tile, item) {
  const parent = item.kind === "page" ? tile.querySelector(".sheet") : tile.querySelector(".open");
  if (!hasPicture(item) || !parent || parent.querySelector("img")) return;
  const image = el("img", { alt: "", decoding: "async", draggable: "false" });
  const begun = performance.now();
  image.addEventListener("load", () => {
    if (performance.now() - begun > 80) image.classList.add("fade");
    parent.style.backgroundImage = "none"; // dimmed pictures show the ground, not the placeholder
  });
  image.addEventListener("error", () => { image.remove(); tile.classList.add("bare"); });
  image.src = thumbnailUrl(item.id);
  parent.prepend(image);
}

const toMark = [];
let marking = 0;

/** Mark words on the pages of tiles, a few at a time. */
export function markPages(tiles, words) {
  for (const tile of words.length ? tiles : []) {
    if (tile.item.kind !== "page" || tile.item.offline || tile.isAsked || !/\.pdf$/i.test(tile.item.name)) continue;
    tile.isAsked = true;
    toMark.push({ tile, words });
  }
  markNext();
}

function markNext() {
  while (marking < MAX_MARKING && toMark.length) {
    const { tile, words } = toMark.shift();
    if (!tile.isConnected) continue;
    marking++;
    markPage(tile, words).catch(() => null).finally(() => { marking--; markNext(); });
  }
}

async function markPage(tile, words) {
  const { boxes, passages } = (tile.item.marks ??= await wordsOnPage(tile.item.id, words)), share = (n) => `${(100 * n).toFixed(2)}%`;
  const mark = ([left, top, width, height]) => el("b", { style: { left: share(left), top: share(top), width: share(width), height: share(height) } });
  tile.querySelector(".sheet")?.append(...[...boxes, ...passages].slice(0, 60).map(mark));
}

/** Drop the picture of a tile far from the viewport, so that few are decoded. */
export function dropPicture(tile) {
  const image = tile.querySelector("img");
  if (!image) return;
  setPlaceholder(image.parentNode, tile.item);
  image.remove();
}

export const isWeak = (item) => level(item) === "weak";
