// Help: the keys and the query language.

import { el, iconButton, setTheme } from "./dom.js";

const KEYS = [
  ["Everywhere", [["/", "the box"], ["Esc", "one step out"], ["o", "order"], ["g", "grid or map"], ["?", "this help"]]],
  ["Grid", [["Arrows", "move"], ["Enter", "open"], ["x", "select"], ["Shift+arrows", "extend"], ["Ctrl+A", "all matches"], ["e", "spread a stack"]]],
  ["Grid and picture", [["m", "more like this"], ["l", "less like this"], ["w", "without this"], ["s", "similar"], ["c", "copy path"], ["d", "download"]]],
  ["Picture", [["Left Right", "neighbors"], ["i", "information"], ["b", "boxes of text"], ["f", "full screen"], ["+ - 0", "zoom, fit"]]],
  ["Video", [["Space", "play"], [", .", "previous, next moment"], ["Shift+Left", "5 s back"], ["v", "mute"], ["[ ]", "cut from, to"], ["Enter", "save the cut"]]],
  ["Map", [["a", "lasso"], ["Space", "hold to move"], ["+ -", "zoom"]]],
  ["Query", [
    ["red car", "words: what it shows or says"], ['"red car"', "exactly these words"], ["dog | cat", "either"], ["kind:video", "also page, text, audio, image"], ["date:2019..2021", "also date:2022-07"],
    ["under:Holidays", "a folder"], ["camera:Canon", "also lens:, tag:, near:, rating:, size:"], ["-tag:work", "none of these"], ["not:people", "without"], ["+ #12  - #12", "more or less like an item"],
  ]],
];

/** Show the help; Esc closes it. */
export function showHelp() {
  const dialog = el("dialog", { "aria-labelledby": "help-title" },
    el("h1", { id: "help-title" }, "Keyboard and query", iconButton("close", "Close (Esc)", () => dialog.close())),
    el("div.keys", {}, KEYS.map(([title, keys]) => el("section", {}, el("h2", {}, title), el("dl", {}, keys.flatMap(([key, does]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, does)]))))),
    keySwitch(), theme());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function keySwitch() {
  const box = el("input", { type: "checkbox", onchange: () => localStorage.setItem("clew.keys", box.checked ? "1" : "0") });
  box.checked = localStorage.getItem("clew.keys") !== "0";
  return el("label", {}, box, "Single keys (turn off if you speak to your computer)");
}

function theme() {
  const now = localStorage.getItem("clew.theme") ?? "";
  return el("fieldset.theme", {}, el("legend.sr", {}, "Theme"), [["", "As the system"], ["light", "Light"], ["dark", "Dark"]].map(([value, name]) => {
    const input = el("input", { type: "radio", name: "theme", value, onchange: () => setTheme(value) });
    input.checked = value === now;
    return el("label", {}, input, name);
  }));
}
