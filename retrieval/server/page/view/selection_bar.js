// The bar of what is selected: copy paths, list, ZIP, captions.

import { bytes, number } from "../logic/format.js";
import { details, exportFile, exportSize } from "../model/api.js";
import { $, copyText, download, el, icon, iconButton, toast } from "./dom.js";

const MOST_BYTES = 2e9; // of a ZIP: larger ones are better copied by their paths

export class SelectionBar {
  constructor(app) {
    this.app = app;
  }

  update() {
    const { selection } = this.app;
    document.body.classList.toggle("selecting", selection.size > 0);
    clearTimeout(this.timer);
    if (!selection.size) { this.node?.remove(); this.node = null; return; }
    if (!this.node) this.build();
    this.count.textContent = `${number(selection.size)} selected`;
    this.size.textContent = "";
    const hasStack = this.app.grid.tiles().some((tile) => selection.has(tile.item.id) && tile.item.more?.length);
    this.hint.textContent = hasStack ? "leaders only, e to spread" : "";
    this.timer = setTimeout(() => this.measure(), 250);
  }

  async measure() {
    const ids = this.app.selection.ids();
    this.bytes = null;
    const answer = await exportSize(ids).catch(() => null);
    if (!answer || !this.node || ids.length !== this.app.selection.size) return;
    this.bytes = answer.bytes;
    this.size.textContent = bytes(answer.bytes);
  }

  build() {
    const { app } = this;
    this.count = el("b.num", {});
    this.size = el("span.q.num", {});
    this.hint = el("span.q", {});
    const act = (name, label, run, more) => el("button", { type: "button", onclick: run, ...more }, icon(name, "s"), el("span", {}, label));
    const isWide = { class: "hide-m" }; // there is no room on a phone
    this.node = el("div.selbar", { role: "toolbar", "aria-label": "Selection" },
      iconButton("close", "Clear the selection (Esc)", () => app.selection.clear()), this.count, this.size, this.hint, el("span.line"),
      act("copy", "Copy paths", () => this.copyPaths()), act("text", "List", () => this.export("list", "clew-list.txt")),
      act("text", "List, NUL", () => this.export("null", "clew-list-0.txt"), { ...isWide, title: "Paths with a NUL after each, for xargs -0: they may contain line breaks" }),
      act("down", "ZIP", () => this.zip()), act("quote", "Captions", () => this.export("captions", "captions.jsonl"), isWide), el("span.line"),
      act("more", "More like these", () => app.addTerms("+", app.selection.ids()), isWide));
    $("main.grid").append(this.node);
  }

  async copyPaths() {
    const ids = this.app.selection.ids();
    try {
      const text = await (await exportFile(ids, "list")).text();
      copyText(text.trim(), `${number(ids.length)} paths copied`);
    } catch {
      const paths = await Promise.all(ids.slice(0, 200).map((id) => details(id).then((item) => item.path)));
      copyText(paths.join("\n"), `${number(paths.length)} paths copied`);
    }
  }

  zip() {
    if (this.bytes > MOST_BYTES) {
      toast(`${bytes(this.bytes)} is too large for a ZIP here. The list of paths is saved instead.`);
      return this.export("list", "clew-list.txt");
    }
    return this.export("zip", "clew.zip");
  }

  async export(format, name) {
    try {
      const response = await exportFile(this.app.selection.ids(), format);
      const url = URL.createObjectURL(await response.blob());
      download(url, name);
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    } catch (error) {
      toast(error.message);
    }
  }
}
