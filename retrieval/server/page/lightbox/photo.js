// A photo on the stage: the thumbnail at once, the original when it is decoded; zoom, and boxes of text.

import { marked } from "../logic/format.js";
import { isOnPage, markWords } from "../logic/query.js";
import { thumbnailUrl, wordsOnPage } from "../model/api.js";
import { el } from "../view/dom.js";
import { cannotShow } from "../view/states.js";

const MOST_ZOOM = 8;
const PAGE_BOX_SIDE = 1000; // of the longer side of a page, in the boxes of its text

/** Return the view of a photo: `{zoom, fit, details, stop}`. */
export function showPhoto(lightbox, { from } = {}) {
  const { fit: parent, pic } = lightbox;
  let { item } = lightbox, scale = 1, x = 0, y = 0;
  const small = el("img", { src: thumbnailUrl(item.id), alt: item.caption || item.name || "" });
  const full = el("img.full", { alt: "", decoding: "async" });
  const figure = el("figure", {}, small, full);
  parent.append(figure);
  small.addEventListener("error", () => small.remove());
  small.addEventListener("load", () => { if (!item.ratio) { item.ratio = small.naturalWidth / small.naturalHeight; fit(); drawBoxes(item); } });

  /** Load what the server shows for the file: the original, or a copy that browsers can decode. */
  const loadFull = (url) => {
    if (item.offline || full.src) return;
    if (!url) return failed();
    full.src = url;
    full.decode().then(() => { full.classList.add("ready"); small.remove(); }, () => failed());
  };
  const failed = () => {
    full.remove();
    if (small.isConnected && small.naturalWidth) return;
    figure.remove();
    parent.append(cannotShow("The browser cannot decode it.", () => lightbox.act("copy"), () => lightbox.act("download")));
  };

  function fit() {
    const width = parent.clientWidth, height = parent.clientHeight, ratio = item.ratio || 1.5;
    const w = Math.min(width, height * ratio);
    Object.assign(figure.style, { width: `${Math.round(w)}px`, height: `${Math.round(w / ratio)}px` });
  }

  function apply() {
    pic.classList.toggle("zoomed", scale > 1);
    figure.style.transform = scale === 1 ? "" : `translate(-50%,-50%) translate(${x}px,${y}px) scale(${scale})`;
  }

  /** Zoom by a factor at a point of the viewport; the point stays where it is. */
  function zoom(factor, clientX, clientY) {
    const rect = parent.getBoundingClientRect();
    const px = (clientX ?? rect.left + rect.width / 2) - rect.left - rect.width / 2;
    const py = (clientY ?? rect.top + rect.height / 2) - rect.top - rect.height / 2;
    const next = Math.min(MOST_ZOOM, Math.max(1, scale * factor)), change = next / scale;
    x = next === 1 ? 0 : px - (px - x) * change;
    y = next === 1 ? 0 : py - (py - y) * change;
    scale = next;
    limit();
    apply();
  }

  function limit() {
    const mostX = (figure.offsetWidth * scale) / 2, mostY = (figure.offsetHeight * scale) / 2;
    x = Math.min(mostX, Math.max(-mostX, x));
    y = Math.min(mostY, Math.max(-mostY, y));
  }

  const pan = (dx, dy) => { x += dx; y += dy; limit(); apply(); };
  const reset = () => { scale = 1; x = y = 0; apply(); };

  parent.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0022), event.clientX, event.clientY); }, { passive: false });
  parent.addEventListener("dblclick", (event) => (scale > 1 ? reset() : zoom(2.5, event.clientX, event.clientY)));
  parent.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || scale === 1 || event.button) return;
    parent.setPointerCapture(event.pointerId);
    const move = (moved) => pan(moved.movementX, moved.movementY);
    parent.addEventListener("pointermove", move);
    parent.addEventListener("pointerup", () => parent.removeEventListener("pointermove", move), { once: true });
  });

  function drawBoxes({ details, box, match }) {
    figure.querySelectorAll(".ocr").forEach((node) => node.remove());
    const { width, height } = isOnPage(item) ? pageSize() : details ?? {};
    if (!width || !height) return;
    const words = markWords(lightbox.app.state.q);
    const isHit = (part) => box && match && String(part.box) === String(box);
    const hasWords = (part) => words.length > 0 && marked(part.text, words).some((piece) => piece.marked);
    const boxes = (details?.recognized ?? []).map((part) => ({ ...part, hit: isHit(part) || hasWords(part) }));
    if (box && match && !boxes.some(isHit)) boxes.push({ box, part: true }); // the part of the picture that matched
    lightbox.buttons.boxes.hidden = !boxes.some((part) => part.box);
    boxes.forEach((part, i) => {
      if (!part.box) return;
      const [left, top, w, h] = part.box, share = (n, of) => `${((100 * n) / of).toFixed(2)}%`;
      figure.append(el("span.ocr", { class: part.hit ? "hit" : part.part ? "part" : "", data: { index: i }, title: part.text,
        style: { left: share(left, width), top: share(top, height), width: share(w, width), height: share(h, height) } }));
    });
  }

  /** Return the size of a page on which the server gives boxes, once the ratio is known. */
  function pageSize() {
    const { ratio } = item;
    return ratio ? { width: PAGE_BOX_SIDE * Math.min(1, ratio), height: PAGE_BOX_SIDE * Math.min(1, 1 / ratio) } : {};
  }

  /** Mark the words of the line on the picture of a page. */
  async function drawWords(known) {
    const words = isOnPage(known) ? markWords(lightbox.app.state.q) : [];
    if (!words.length || known.offline) return;
    const { boxes } = await wordsOnPage(known.id, words).catch(() => ({ boxes: [] }));
    if (!figure.isConnected || !boxes.length) return;
    const share = (n) => `${(100 * n).toFixed(2)}%`;
    figure.append(...boxes.map(([left, top, width, height]) => el("span.ocr.word", { style: { left: share(left), top: share(top), width: share(width), height: share(height) } })));
    lightbox.buttons.boxes.hidden = false;
  }

  const observer = new ResizeObserver(fit);
  observer.observe(parent);
  fit();
  lightbox.growFrom(figure, from);
  return {
    zoom, pan, reset, fit,
    isZoomed: () => scale > 1,
    light: (index, isOn) => figure.querySelector(`.ocr[data-index="${index}"]`)?.classList.toggle("hit", isOn),
    details(known) {
      item = known;
      const shown = known.details ?? {};
      if (shown.width && shown.height && !item.ratio) item.ratio = shown.width / shown.height;
      fit();
      drawBoxes(known);
      drawWords(known);
      loadFull(shown.media);
    },
    stop() {
      observer.disconnect();
      full.src = "";
    },
  };
}
