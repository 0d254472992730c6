// A video or a sound on the stage: it starts at its moment, and all its matching moments are raised on its bar.

import { clock, levelText, marked } from "../logic/format.js";
import { markWords } from "../logic/query.js";
import { clipUrl, mediaUrl, thumbnailUrl } from "../model/api.js";
import { download, el, icon, iconButton, markedText } from "../view/dom.js";
import { cannotShow } from "../view/states.js";

/** Return the matching moments of a video in the order of time, the item itself among them if it is a hit. */
export function momentsOf(item) {
  const isHit = item.match != null || item.confidence != null;
  const own = isHit && item.start != null && item.timed !== false ? [item] : [];
  const others = (item.moments ?? []).filter((moment) => moment.start != null && moment.start !== item.start);
  return [...own, ...others].sort((a, b) => a.start - b.start);
}

/** Return the view of a video: `{key, fit, details, stop}`. */
export function showVideo(lightbox, { play, from, isSound } = {}) {
  const { fit: parent, app } = lightbox;
  let { item } = lightbox, cut = null;
  const start = app.state.open === item.id && app.state.t != null ? app.state.t : item.start ?? 0;
  const source = { src: item.offline ? null : mediaUrl(item.id), preload: "metadata", tabindex: "-1", "aria-label": item.name };
  const video = isSound ? el("audio", source) : el("video", { ...source, poster: thumbnailUrl(item.id), playsinline: true });
  const figure = isSound ? el("div.listen", {}, icon("sound"), item.text && el("p", {}, markedText(marked(item.text, markWords(app.state.q)))), video) : el("figure", {}, video);
  parent.append(figure);
  const fit = () => {
    if (isSound) return;
    const ratio = item.ratio || 16 / 9, w = Math.min(parent.clientWidth, parent.clientHeight * ratio);
    Object.assign(figure.style, { width: `${Math.round(w)}px`, height: `${Math.round(w / ratio)}px` });
  };
  const length = () => (isFinite(video.duration) ? video.duration : item.duration) || 1;

  const base = el("span.base"), done = el("span.done"), head = el("span.head"), tip = el("span.tip"), marks = el("span");
  const seek = el("div.seek", { role: "slider", tabindex: "0", "aria-label": "Position", "aria-valuemin": 0 }, base, done, marks, head, tip);
  const playButton = iconButton("play", "Play (Space)", () => toggle());
  const time = el("span.time.num"), which = el("span.hide-m.num");
  const muteButton = iconButton("volume", "Mute (v)", () => mute());
  const controls = el("div.controls", {}, playButton, iconButton("previous", "Previous moment (,)", () => jump(-1)), iconButton("next", "Next moment (.)", () => jump(1)), time, which, el("span.sep"),
    el("button.btn.hide-m", { type: "button", title: "Cut this moment ([ and ] set its ends, Enter saves it)", onclick: () => (cut ? saveCut() : startCut()) }, icon("cut", "s"), el("span", {}, "Cut this moment")), muteButton, isSound ? "" : iconButton("full-screen", "Full screen (f)", () => lightbox.toggleFullScreen()));
  const scenes = el("ol.scenes.hide-m");
  lightbox.below.replaceChildren(el("div.ctl", {}, seek, controls), scenes);

  const moments = () => momentsOf(item);
  const at = () => moments().findLastIndex((moment) => video.currentTime >= moment.start - 0.05 && video.currentTime <= (moment.end ?? moment.start) + 0.3);
  const share = (seconds) => `${Math.min(100, Math.max(0, (100 * seconds) / length()))}%`;

  function drawMoments() {
    marks.replaceChildren(...moments().map((moment) => {
      const strength = Math.max(0, Math.min(1, ((moment.confidence ?? 0.8) - 0.5) / 0.5));
      return el("span.m", { style: { left: share(moment.start), width: share(Math.max(0, (moment.end ?? moment.start) - moment.start)), height: `${Math.round(5 + 11 * strength)}px` } });
    }));
    follow();
  }

  function follow() {
    const now = video.currentTime, index = at(), list = moments();
    done.style.width = head.style.left = share(now);
    [...marks.children].forEach((mark, i) => mark.classList.toggle("now", i === index));
    tip.textContent = index >= 0 ? levelText(list[index]) : "";
    if (index >= 0) tip.style.left = `clamp(36px, ${share((list[index].start + (list[index].end ?? list[index].start)) / 2)}, calc(100% - 36px))`;
    time.replaceChildren(el("b", {}, clock(now)), ` of ${clock(length())}`);
    which.textContent = list.length ? (index >= 0 ? `moment ${index + 1} of ${list.length}` : `${list.length} ${list.length === 1 ? "moment" : "moments"}`) : "";
    seek.setAttribute("aria-valuemax", Math.round(length()));
    seek.setAttribute("aria-valuenow", Math.round(now));
    seek.setAttribute("aria-valuetext", `${clock(now)} of ${clock(length())}${index >= 0 ? ", in a matching moment" : ""}`);
    for (const scene of scenes.children) {
      const isHere = now >= Number(scene.dataset.start) && now < Number(scene.dataset.end);
      isHere ? scene.setAttribute("aria-current", "true") : scene.removeAttribute("aria-current");
    }
    lightbox.panel.followMoment(index >= 0 ? list[index] : null);
  }

  const setTime = (seconds) => { video.currentTime = Math.min(length(), Math.max(0, seconds)); follow(); };
  const toggle = () => (video.paused ? video.play().catch(() => null) : video.pause());
  const setButton = (button, name, label) => { button.replaceChildren(icon(name)); button.title = label; button.ariaLabel = label; };
  const mute = () => { video.muted = !video.muted; setButton(muteButton, video.muted ? "mute" : "volume", video.muted ? "Sound on (v)" : "Mute (v)"); };
  function jump(direction) {
    const list = moments(), now = video.currentTime;
    const next = direction > 0 ? list.find((moment) => moment.start > now + 0.2) : list.findLast((moment) => moment.start < now - 0.6);
    if (!next) return;
    setTime(next.start);
    app.write(false, { t: next.start });
  }

  function startCut(part = moments()[at()] ?? { start: video.currentTime, end: Math.min(length(), video.currentTime + 5) }) {
    cut?.node.remove();
    const handle = (side) => el("button", { type: "button", "aria-label": side === "start" ? "Start of the cut ([)" : "End of the cut (])", onpointerdown: (event) => dragCut(event, side) });
    cut = { start: part.start, end: part.end ?? part.start + 3, node: el("span.cutting", {}, handle("start"), handle("end")) };
    seek.append(cut.node);
    drawCut();
  }
  function drawCut() {
    cut.node.style.left = share(cut.start);
    cut.node.style.width = share(cut.end - cut.start);
    controls.querySelector(".btn span").textContent = `Save ${clock(cut.start)} to ${clock(cut.end)}`;
  }
  function setCut(side, seconds) {
    if (!cut) startCut();
    if (side === "start") cut.start = Math.max(0, Math.min(seconds, cut.end - 0.2));
    else cut.end = Math.min(length(), Math.max(seconds, cut.start + 0.2));
    drawCut();
  }
  function dragCut(event, side) {
    event.preventDefault();
    event.stopPropagation();
    const move = (moved) => setCut(side, secondsAt(moved));
    addEventListener("pointermove", move);
    addEventListener("pointerup", () => removeEventListener("pointermove", move), { once: true });
  }
  function saveCut() {
    download(clipUrl(item.id, cut.start.toFixed(2), cut.end.toFixed(2)));
    stopCut();
  }
  function stopCut() {
    cut.node.remove();
    cut = null;
    controls.querySelector(".btn span").textContent = "Cut this moment";
  }

  const secondsAt = (event) => { const rect = base.getBoundingClientRect(); return Math.min(1, Math.max(0, (event.clientX - rect.left) / rect.width)) * length(); };
  seek.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest(".cutting")) return;
    seek.setPointerCapture(event.pointerId);
    setTime(secondsAt(event));
    const move = (moved) => setTime(secondsAt(moved));
    seek.addEventListener("pointermove", move);
    seek.addEventListener("pointerup", () => seek.removeEventListener("pointermove", move), { once: true });
  });

  function drawScenes() {
    const list = item.scenes ?? [], step = Math.max(1, Math.ceil(list.length / 12)), some = list.filter((_, i) => i % step === 0);
    const matches = moments();
    scenes.replaceChildren(...some.map((scene, i) => {
      const end = some[i + 1]?.start ?? scene.end ?? length();
      const isHit = matches.some((moment) => moment.start < end && (moment.end ?? moment.start + 0.1) > scene.start);
      return el("li", { class: isHit ? "hit" : "", data: { start: scene.start, end } }, el("button", { type: "button", tabindex: "-1", "aria-label": `Scene at ${clock(scene.start)}`, onclick: () => setTime(scene.start) },
        el("div", {}, el("img", { src: thumbnailUrl(scene.id), alt: "", loading: "lazy" })), el("p", {}, clock(scene.start))));
    }));
    follow();
  }

  video.addEventListener("loadedmetadata", () => {
    if (!isSound && !item.ratio && video.videoWidth) { item.ratio = video.videoWidth / video.videoHeight; fit(); }
    video.currentTime = start;
    drawMoments();
    if (play) video.play().catch(() => null);
  });
  video.addEventListener("timeupdate", follow);
  video.addEventListener("seeked", follow);
  video.addEventListener("play", () => setButton(playButton, "pause", "Pause (Space)"));
  video.addEventListener("pause", () => { setButton(playButton, "play", "Play (Space)"); if (lightbox.view) app.write(false, { t: video.currentTime }); });
  video.addEventListener("error", () => {
    figure.remove();
    parent.append(cannotShow(item.offline ? "Its drive is not connected." : `The browser cannot play this ${isSound ? "sound" : "video"}.`, () => lightbox.act("copy"), () => lightbox.act("download")));
  });
  video.addEventListener("click", (event) => {
    if (matchMedia("(hover: none)").matches) {
      const third = event.offsetX / video.clientWidth;
      if (third < 1 / 3) return jump(-1);
      if (third > 2 / 3) return jump(1);
    }
    return toggle();
  });
  const observer = new ResizeObserver(fit);
  observer.observe(parent);
  fit();
  if (!isSound) lightbox.growFrom(figure, from);
  drawMoments();
  return {
    fit, setTime,
    details(known) { item = known; fit(); drawMoments(); drawScenes(); },
    key(event) {
      const five = event.shiftKey ? { ArrowLeft: -5, ArrowRight: 5 }[event.key] : null;
      if (document.activeElement === seek && !event.shiftKey && /^Arrow(Left|Right)$/.test(event.key)) setTime(video.currentTime + (event.key === "ArrowLeft" ? -1 : 1));
      else if (five) setTime(video.currentTime + five);
      else if (event.key === " ") toggle();
      else if (event.key === ",") jump(-1);
      else if (event.key === ".") jump(1);
      else if (event.key === "v") mute();
      else if (event.key === "[") setCut("start", video.currentTime);
      else if (event.key === "]") setCut("end", video.currentTime);
      else if (event.key === "Enter" && cut) saveCut();
      else if (event.key === "Escape" && cut) stopCut();
      else return false;
      return true;
    },
    stop() { observer.disconnect(); video.pause(); video.removeAttribute("src"); video.load(); },
  };
}
