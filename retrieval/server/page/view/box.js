// The box: words as text, filters and terms as chips, one line in all.

import { chipParts, formatLine, parseLine } from "../logic/query.js";
import { suggest, thumbnailUrl } from "../model/api.js";
import { $, el, icon } from "./dom.js";

export class Box extends EventTarget {
  constructor(form) {
    super();
    this.form = form;
    this.input = $("input[name=q]", form);
    this.list = $(".chips", form);
    this.chips = [];
    this.pictures = new Map(); // token of a dropped picture -> URL of its thumbnail
    this.extra = null; // {text, remove}: a chip that is no text of the query, such as "in lasso"
    const { input } = this;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.commit(); });
    input.addEventListener("input", (event) => event.isComposing || this.typed());
    input.addEventListener("compositionend", () => this.typed());
    input.addEventListener("keydown", (event) => this.key(event));
    for (const name of ["keyup", "click"]) input.addEventListener(name, () => this.settle());
    input.addEventListener("blur", () => { this.settle(-1); this.hideSuggestions(); form.classList.remove("on"); });
    input.addEventListener("focus", () => form.classList.add("on"));
    for (const name of ["copy", "cut"]) input.addEventListener(name, (event) => this.copy(event));
    $(".clear", form).addEventListener("click", () => { this.set(""); input.focus(); this.emit("clear"); });
    $(".pictures", form).addEventListener("click", () => $(".file", form).click());
    $(".file", form).addEventListener("change", (event) => this.pick(event.target));
    form.addEventListener("mousedown", (event) => event.target === $(".terms", form) && (event.preventDefault(), input.focus()));
    const media = matchMedia("(max-width: 767px)");
    const move = () => (media.matches ? $(".chips-row") : $(".terms", form)).append(this.list);
    media.addEventListener("change", move);
    move();
    const short = () => (input.placeholder = media.matches ? "Search by words" : "Search by words, or drop a picture here");
    media.addEventListener("change", short);
    short();
  }

  get line() {
    return formatLine(this.input.value, this.chips);
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Show a line; the caret keeps its place if the line is what the box has. */
  set(line) {
    if (line === this.line) return this.draw();
    const { words, chips } = parseLine(line);
    this.input.value = words;
    this.chips = chips;
    this.draw();
  }

  /** Replace the chips and search at once. */
  setChips(chips) {
    this.chips = chips;
    this.draw();
    this.emit("commit");
  }

  typed() {
    this.settle();
    this.draw();
    this.emit("type");
    this.suggest();
  }

  /** Make chips of complete tokens that the caret does not touch. */
  settle(caret = this.input.selectionStart) {
    const { words, chips } = parseLine(this.input.value, caret);
    if (!chips.length) return;
    this.chips.push(...chips);
    this.input.value = words ? `${words} ` : "";
    this.draw();
  }

  commit() {
    this.settle(-1);
    this.hideSuggestions();
    this.emit("commit");
  }

  draw() {
    this.list.replaceChildren(...this.chips.map((chip, i) => this.chip(chip, i)), ...(this.extra ? [this.extraChip()] : []));
    const isFull = Boolean(this.input.value || this.chips.length || this.extra);
    this.form.classList.toggle("has", isFull);
    this.form.classList.toggle("chipped", this.list.childElementCount > 0);
    $(".clear", this.form).hidden = !isFull;
    document.body.classList.toggle("has-chips", this.list.childElementCount > 0);
    this.fit();
  }

  /** Make the field as wide as its text, where the browser cannot. */
  fit() {
    if (CSS.supports("field-sizing", "content")) return;
    this.ruler ??= document.createElement("canvas").getContext("2d");
    this.ruler.font = getComputedStyle(this.input).font;
    this.input.style.width = this.list.childElementCount ? `${Math.ceil(this.ruler.measureText(this.input.value).width) + 6}px` : "";
  }

  chip(text, index) {
    const { key, value, id, picture } = chipParts(text);
    const image = id ? thumbnailUrl(id) : this.pictures.get(picture);
    const label = picture ? `${key.replace(/^[+-]$/, "$& ")}picture` : text;
    const remove = () => { this.setChips(this.chips.filter((_, i) => i !== index)); this.input.focus(); };
    return el("span.chip", { class: this.wrong === text ? "wrong" : "" },
      el("button.edit", { type: "button", title: `${text}: edit as text`, "aria-label": `Edit ${label}`, onclick: () => this.edit(index), onkeydown: (event) => this.chipKey(event, index) },
        image && el("img", { src: image, alt: "" }), el("span", {}, el("i", {}, key), value)),
      el("button.remove", { type: "button", title: `Remove ${label}`, "aria-label": `Remove ${label}`, onclick: remove }, icon("close")));
  }

  extraChip() {
    const { text, remove } = this.extra;
    return el("span.chip", {}, el("span", {}, text),
      el("button.remove", { type: "button", title: `Remove ${text}`, "aria-label": `Remove ${text}`, onclick: remove }, icon("close")));
  }

  /** Turn a chip into text, with the caret in its value. */
  edit(index) {
    const [chip] = this.chips.splice(index, 1);
    const before = this.input.value.trim();
    this.input.value = before ? `${before} ${chip}` : chip;
    this.draw();
    this.input.focus();
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
    this.suggest();
  }

  chipKey(event, index) {
    const buttons = [...this.list.querySelectorAll(".edit")];
    if (event.key === "Backspace") this.edit(index);
    else if (event.key === "Delete") { this.setChips(this.chips.filter((_, i) => i !== index)); this.input.focus(); }
    else if (event.key === "ArrowRight") buttons[index + 1]?.focus();
    else if (event.key === "ArrowLeft") (buttons[index - 1] ?? this.input).focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  key(event) {
    if (event.isComposing) return;
    const { input } = this, isAtEnd = input.selectionStart === input.value.length && input.selectionEnd === input.value.length;
    const options = this.popover ? [...this.popover.children] : [];
    const chosen = options.findIndex((option) => option.ariaSelected === "true");
    if (options.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const next = (chosen + (event.key === "ArrowDown" ? 1 : -1) + options.length) % options.length;
      options.forEach((option, i) => (option.ariaSelected = String(i === next)));
      input.setAttribute("aria-activedescendant", options[next].id);
    } else if (chosen >= 0 && (event.key === "Enter" || event.key === "Tab")) options[chosen].click();
    else if (event.key === "Escape" && options.length) { this.hideSuggestions(); event.stopPropagation(); }
    else if (event.key === "Enter") { this.commit(); this.emit("go"); }
    else if (event.key === "ArrowDown") { this.settle(-1); this.hideSuggestions(); this.emit("down"); }
    else if (event.key === "ArrowRight" && isAtEnd && this.chips.length) this.list.querySelector(".edit").focus();
    else if (event.key === "Backspace" && !input.value && this.chips.length) this.edit(this.chips.length - 1);
    else return;
    event.preventDefault();
  }

  /** Copy the complete line if all words are selected. */
  copy(event) {
    const { input } = this;
    const isAll = input.selectionStart === 0 && input.selectionEnd === input.value.length;
    if (!isAll || !this.chips.length) return;
    event.clipboardData.setData("text/plain", this.line);
    event.preventDefault();
    if (event.type === "cut") { this.set(""); this.emit("type"); }
  }

  pick(field) {
    if (field.files[0]) this.emit("picture", field.files[0]);
    field.value = "";
  }

  /** Return the part of the token at the caret that is before it. */
  tokenAtCaret() {
    return /\S*$/.exec(this.input.value.slice(0, this.input.selectionStart))[0];
  }

  /** Offer values of the token at the caret. */
  async suggest() {
    const { input } = this, caret = input.selectionStart, token = this.tokenAtCaret();
    this.suggesting?.abort();
    if (!/^(-?[a-z]+:|@)/i.test(token)) return this.hideSuggestions();
    const { signal } = (this.suggesting = new AbortController());
    const answer = await suggest(input.value, caret, signal).catch(() => null);
    if (signal.aborted) return;
    const values = (answer?.tokens ?? []).slice(0, 8).map((value) => (typeof value === "string" ? { token: value } : value));
    this.hideSuggestions();
    if (!values.length || document.activeElement !== input) return;
    const accept = (value) => {
      const end = input.selectionStart, start = end - this.tokenAtCaret().length; // keys may have followed the request
      input.value = `${input.value.slice(0, start)}${value.token ?? value.text} ${input.value.slice(end).trimStart()}`;
      input.setSelectionRange(input.value.length, input.value.length);
      this.hideSuggestions();
      this.typed();
    };
    this.popover = el("ul.suggestions", { id: "suggestions", role: "listbox", "aria-label": "Values" }, values.map((value, i) =>
      el("li", { id: `suggestion-${i}`, role: "option", "aria-selected": "false", onmousedown: (event) => event.preventDefault(), onclick: () => accept(value) },
        el("span", {}, value.token ?? value.text), value.count != null && el("small.num", {}, value.count.toLocaleString("en-US")))));
    this.form.append(this.popover);
    input.setAttribute("aria-controls", "suggestions");
  }

  hideSuggestions() {
    this.suggesting?.abort();
    this.popover?.remove();
    this.popover = null;
    this.input.removeAttribute("aria-activedescendant");
    this.input.removeAttribute("aria-controls");
  }

  /** Underline what the server does not understand, and show its message; null removes both. */
  complain(error) {
    const column = error?.column, { line } = this;
    this.wrong = null;
    const isAt = (chip) => column >= line.indexOf(chip) && column < line.indexOf(chip) + chip.length;
    const isNamed = (chip) => error?.message.includes(`'${chipParts(chip).value}'`);
    this.wrong = this.chips.find(column != null ? isAt : isNamed) ?? null;
    this.input.classList.toggle("wrong", Boolean(error) && !this.wrong);
    this.input.setAttribute("aria-invalid", String(Boolean(error)));
    const node = $(".complaint");
    node.hidden = !error;
    node.textContent = error ? `${error.message}${column != null && !/column/.test(error.message) ? ` (column ${column + 1})` : ""}` : "";
    this.draw();
  }

  wait(isWaiting) {
    $(".wait", this.form).hidden = !isWaiting;
  }
}
