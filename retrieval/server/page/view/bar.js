// The bar: what was found by kind, what may be narrowed, and the order.

import { KINDS, number } from "../logic/format.js";
import { $, el, icon } from "./dom.js";

export class Bar extends EventTarget {
  constructor(node) {
    super();
    this.kinds = $(".kinds", node);
    this.offers = $(".offers", node);
    this.order = $(".order", node);
    this.progress = $(".progress", node);
    for (const button of this.order.children) {
      button.addEventListener("click", () => this.emit("order", button.dataset.order));
      button.addEventListener("keydown", (event) => {
        if (!/^Arrow/.test(event.key)) return;
        event.preventDefault();
        event.stopPropagation();
        const other = button.nextElementSibling ?? button.previousElementSibling;
        other.focus();
        other.click();
      });
    }
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Show the kinds with counts; `all` is the name of all of them, without a count if only a part is known. */
  showKinds(all, { counts, plus = "", isPart }, chosen) {
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const kinds = Object.keys(KINDS).filter((kind) => counts[kind] || kind === chosen);
    const button = (kind, name, count) => el("button", {
      type: "button", "aria-pressed": String((chosen ?? null) === kind), onclick: () => this.emit("kind", kind),
    }, name, count != null && el("span.num", {}, `${number(count)}${plus}`));
    this.kinds.replaceChildren(button(null, all, isPart ? null : total), ...kinds.map((kind) => button(kind, KINDS[kind], counts[kind] ?? 0)));
  }

  /** Show a text in place of kinds. */
  say(text) {
    this.kinds.replaceChildren(el("span.said", {}, text));
  }

  /** Offer at most three chips; none is applied unasked. */
  showOffers(offers) {
    const list = [
      ...(offers?.read_as ?? []).map((offer) => ({ ...offer, type: "read", label: offer.label ?? offer.words })),
      ...(offers?.narrow_to ?? []).map((offer) => ({ ...offer, type: "narrow" })),
    ].slice(0, 3);
    const group = (type, word) => {
      const some = list.filter((offer) => offer.type === type);
      return some.length ? [el("span", {}, word), ...some.map((offer) => this.offer(offer))] : [];
    };
    this.offers.replaceChildren(...group("read", "Read as"), ...group("narrow", "Narrow to"));
  }

  offer(offer) {
    const label = `${capital(offer.label ?? offer.token)}?`;
    return el("button.offer", { type: "button", title: offer.token, onclick: () => this.emit("offer", offer) }, icon("plus"), label);
  }

  hideOffers() {
    const had = this.offers.childElementCount > 0;
    this.offers.replaceChildren();
    return had;
  }

  showOrder(order) {
    this.order.hidden = !order;
    for (const button of this.order.children) {
      const isChosen = button.dataset.order === order;
      button.setAttribute("aria-checked", String(isChosen));
      button.tabIndex = isChosen ? 0 : -1;
    }
  }

  /** Show how many files are left to index; null hides it. */
  showIndexing(indexing) {
    const { done = 0, total = 0 } = indexing ?? {}, left = Math.max(0, total - done);
    const counts = total ? `${number(left)} left` : `${number(done)} files found`;
    this.progress.textContent = indexing ? `Indexing: ${counts}` : "";
  }
}

const capital = (text) => text.replace(/(^|\s)\p{L}/gu, (letter) => letter.toUpperCase());
