// Pages, passages and sounds on the stage.

import { marked } from "../logic/format.js";
import { isOnPage, markWords } from "../logic/query.js";
import { passage } from "../model/api.js";
import { el, markedText } from "../view/dom.js";
import { showPhoto } from "./photo.js";
import { showVideo } from "./video.js";

/** Return the view of a page, a passage or a sound. */
export function showDocument(lightbox, options) {
  const { item } = lightbox;
  if (isOnPage(item)) return showPhoto(lightbox, options);
  return item.kind === "text" && !item.timed ? showPassage(lightbox) : showVideo(lightbox, { ...options, isSound: true });
}

function showPassage(lightbox) {
  const { item, fit, app } = lightbox, words = markWords(app.state.q), request = new AbortController();
  const stage = el("div.paper-stage", { tabindex: "0" }, markedText(marked(item.text ?? "", words, Infinity)));
  fit.append(stage);
  const draw = ({ passages = [] }) => {
    if (passages.length) stage.replaceChildren(...passages.map(({ text, is_current: isHere }) => el(`p.${isHere ? "here" : "around"}`, {}, markedText(marked(text, words, Infinity)))));
    stage.querySelector(".here")?.scrollIntoView({ block: "center" });
  };
  passage(item.id, request.signal).then(draw).catch(() => null);
  return { stop: () => request.abort() };
}
