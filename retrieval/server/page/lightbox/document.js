// Pages, passages and sounds on the stage.

import { clock, marked } from "../logic/format.js";
import { isOnPage, markWords } from "../logic/query.js";
import { mediaUrl, passage } from "../model/api.js";
import { el, icon, markedText } from "../view/dom.js";
import { cannotShow } from "../view/states.js";
import { showPhoto } from "./photo.js";

/** Return the view of a page, a passage or a sound. */
export function showDocument(lightbox, options) {
  const { item } = lightbox;
  if (isOnPage(item)) return showPhoto(lightbox, options);
  return item.kind === "text" && !item.timed ? showPassage(lightbox) : showSound(lightbox);
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

function showSound(lightbox) {
  const { item, fit, app } = lightbox;
  const audio = el("audio", { controls: true, preload: "metadata", src: item.offline ? null : mediaUrl(item.id) });
  const start = app.state.t ?? (item.timed ? item.start : 0) ?? 0;
  audio.addEventListener("loadedmetadata", () => (audio.currentTime = start), { once: true });
  audio.addEventListener("error", () => fit.replaceChildren(cannotShow(item.offline ? "Its drive is not connected." : "The browser cannot play this sound.", () => lightbox.act("copy"), () => lightbox.act("download"))));
  fit.append(el("div.listen", {}, icon("sound"), item.timed && start ? el("p", {}, `from ${clock(start)}`) : null, audio));
  return {
    stop: () => { audio.pause(); audio.removeAttribute("src"); },
    setTime: (seconds) => (audio.currentTime = seconds),
    key(event) {
      if (event.key === " ") audio.paused ? audio.play() : audio.pause();
      else if (event.shiftKey && /^Arrow(Left|Right)$/.test(event.key)) audio.currentTime += event.key === "ArrowLeft" ? -5 : 5;
      else return false;
      return true;
    },
  };
}

