// What is selected: ids in the order of selection. It survives scrolling and the lightbox.

export class Selection extends EventTarget {
  constructor() {
    super();
    this.chosen = new Set();
    this.last = null; // where a range begins
  }

  get size() {
    return this.chosen.size;
  }

  has(id) {
    return this.chosen.has(id);
  }

  ids() {
    return [...this.chosen];
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  toggle(id) {
    if (!this.chosen.delete(id)) this.chosen.add(id);
    this.last = id;
    this.changed();
  }

  add(ids) {
    for (const id of ids) this.chosen.add(id);
    this.last = ids.at(-1) ?? this.last;
    this.changed();
  }

  clear({ silent } = {}) {
    const had = this.chosen.size;
    this.chosen.clear();
    this.last = null;
    if (had || !silent) this.changed();
  }

  restore(ids) {
    if (!ids?.length && !this.chosen.size) return;
    this.chosen = new Set(ids ?? []);
    this.changed();
  }

  /** Select the range in reading order from the last one selected; months between them are loaded first. */
  async extendTo(id, { grid, model }) {
    const from = this.last ?? id;
    const first = grid.find(from)?.section, last = grid.find(id)?.section;
    if (first && last && first !== last) await model.loadBetween?.(first, last);
    const ids = grid.items().map((item) => item.id);
    const [low, high] = [ids.indexOf(from), ids.indexOf(id)].sort((a, b) => a - b);
    this.add(low < 0 ? [id] : ids.slice(low, high + 1));
    this.last = from;
  }
}
