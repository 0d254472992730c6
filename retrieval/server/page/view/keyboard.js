// The keyboard: single keys only while no field has the focus; keys of the browser are never taken.

const showHelp = () => import("./help.js").then((help) => help.showHelp());

const GRID_MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"];
const ACTS = { m: "more", l: "less", w: "without", s: "similar", c: "copy", d: "download", e: "spread" };

const singleKeys = { get areOn() { return localStorage.getItem("clew.keys") !== "0"; } };

/** Listen for the keys of the page. */
export function listenForKeys(app) {
  document.querySelector(".help").addEventListener("click", () => showHelp());
  addEventListener("pointerdown", () => (app.lightbox.byKey = false), true);
  addEventListener("keydown", (event) => {
    app.lightbox.byKey = true;
    if (event.defaultPrevented || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const isField = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    const handled = event.key === "Escape" ? escape(app, event) : isField ? false : onKey(app, event);
    if (handled) event.preventDefault();
  });
}

function onKey(app, event) {
  const isControl = event.ctrlKey || event.metaKey;
  if (app.lightbox.isOpen) return !isControl && lightboxKey(app, event);
  if (isControl) return controlKey(app, event);
  const isSingle = event.key.length === 1;
  if (isSingle && !singleKeys.areOn && event.key !== " ") return false;
  if (event.key === "/") { app.box.input.focus(); app.box.input.select(); return true; }
  if (event.key === "?") { showHelp(); return true; }
  if (event.key === "o" && !app.bar.order.hidden) { app.setOrder(app.state.order === "date" ? "score" : "date"); return true; }
  if (event.key === "g" && app.map.isKnown) { app.setView(app.state.view === "map" ? "grid" : "map"); return true; }
  if (app.state.view === "map") return app.map.key(event);
  return gridKey(app, event);
}

function focused(app) {
  return document.activeElement?.closest?.(".tile")?.item ?? null;
}

function controlKey(app, event) {
  const isInGrid = focused(app) || document.activeElement === document.body;
  if (event.key === "a" && isInGrid) { app.selection.add(app.confidentIds()); return true; }
  if ((event.key === "Home" || event.key === "End") && isInGrid) {
    app.grid.focusEdge(event.key === "End");
    return app.grid.sections.length > 0;
  }
  return false;
}

function gridKey(app, event) {
  const { grid, selection } = app, item = focused(app);
  if (GRID_MOVES.includes(event.key)) {
    const isFree = document.activeElement === document.body || document.activeElement?.id === "results";
    if (!item && !isFree) return false;
    const start = item ?? grid.tile(grid.focusId)?.item ?? grid.firstVisible()?.item;
    if (!start) return false;
    const next = item ? grid.neighbor(start.id, event.key) : start;
    if (!next) return true;
    if (event.shiftKey && item) {
      if (!selection.has(item.id)) selection.add([item.id]);
      selection.extendTo(next.id, app);
    }
    return grid.focusItem(next.id);
  }
  if (!item || (event.target.tagName === "BUTTON" && event.key !== "x")) return false;
  if (event.key === "Enter") { app.open(item); return true; }
  if (event.key === "x" || event.key === " ") { selection.toggle(item.id); return true; }
  if (ACTS[event.key]) { app.act(ACTS[event.key], item); return true; }
  return false;
}

function lightboxKey(app, event) {
  const { lightbox } = app, { view } = lightbox;
  const isButton = event.target.tagName === "BUTTON" || event.target.tagName === "A";
  if (event.key === "Tab") return trapTab(lightbox.node, event);
  if (isButton && (event.key === "Enter" || event.key === " ")) return false;
  if (event.key.length === 1 && event.key !== " " && !singleKeys.areOn) return false;
  if (view?.key?.(event)) return true;
  if (event.key === "ArrowLeft" || event.key === "ArrowRight") { lightbox.step(event.key === "ArrowLeft" ? -1 : 1); return true; }
  const run = {
    i: () => lightbox.toggleInfo(), b: () => lightbox.toggleBoxes(), f: () => lightbox.toggleFullScreen(), "?": () => showHelp(),
    "+": () => view?.zoom?.(1.5), "=": () => view?.zoom?.(1.5), "-": () => view?.zoom?.(1 / 1.5), 0: () => view?.reset?.(),
    x: () => app.selection.toggle(lightbox.item.id),
    "/": () => { lightbox.close(); app.box.input.focus(); app.box.input.select(); },
  }[event.key];
  if (run) { run(); return true; }
  if (ACTS[event.key]) { lightbox.act(ACTS[event.key]); return true; }
  return false;
}

/** Keep the focus in a dialog: Tab at its end goes to its start. */
function trapTab(node, event) {
  const stops = [...node.querySelectorAll("button,a[href],[tabindex='0'],audio")].filter((stop) => stop.tabIndex >= 0 && stop.getClientRects().length && getComputedStyle(stop).visibility !== "hidden");
  const [edge, other] = event.shiftKey ? [stops[0], stops.at(-1)] : [stops.at(-1), stops[0]];
  if (document.activeElement !== edge && node.contains(document.activeElement) && document.activeElement !== node) return false;
  other?.focus();
  return true;
}

/** Go one step out; words are never deleted. */
function escape(app, event) {
  const { box, bar, lightbox, selection, grid } = app;
  if (box.popover) box.hideSuggestions();
  else if (document.fullscreenElement) document.exitFullscreen();
  else if (lightbox.isOpen) { if (!lightbox.view?.key?.(event)) lightbox.close(); }
  else if (bar.hideOffers()) return true;
  else if (app.state.view === "map" && app.map.escape()) return true;
  else if (selection.size) selection.clear();
  else if (event.target === box.input) {
    const tile = grid.tile(grid.focusId) ?? grid.firstVisible();
    if (tile) grid.focusItem(tile.item.id);
    else box.input.blur();
  } else return false;
  return true;
}
