// The URL is the state of the page: a query string only.

/** Return the state that a query string describes. */
export function parseAddress(search) {
  const params = new URLSearchParams(search);
  const at = /^(\d+):(-?\d+)$/.exec(params.get("at") ?? "");
  const number = (name) => (params.get(name) && isFinite(params.get(name)) ? Number(params.get(name)) : null);
  const q = (params.get("q") ?? "").replace(/^\s+(?=pic:)/, "+");
  return {
    q,
    order: params.get("order") === "date" ? "date" : "score",
    at: at ? { id: Number(at[1]), px: Number(at[2]) } : null,
    open: number("open"),
    t: number("t"),
    p: number("p"),
    info: params.get("info") !== "0",
    view: params.get("view") === "map" ? "map" : "grid",
    c: numbers(params.get("c"), 3),
    lasso: lassoPoints(params.get("lasso")),
  };
}

/** Return the query string of a state, "" for the start page. */
export function formatAddress(state) {
  const params = new URLSearchParams();
  if (state.q) params.set("q", state.q);
  if (state.order === "date") params.set("order", "date");
  if (state.view === "map") params.set("view", "map");
  if (state.view === "map" && state.c) params.set("c", state.c.map((n) => +n.toFixed(2)).join(","));
  if (state.lasso?.length) params.set("lasso", state.lasso.map((p) => p.map(Math.round).join(",")).join(";"));
  if (state.at && state.view !== "map") params.set("at", `${state.at.id}:${Math.round(state.at.px)}`);
  if (state.open != null) {
    params.set("open", state.open);
    if (state.t != null) params.set("t", +state.t.toFixed(1));
    if (state.p != null) params.set("p", state.p);
    if (!state.info) params.set("info", "0");
  }
  const text = params.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%3B", ";");
  return text ? `?${text}` : "";
}

function numbers(text, count) {
  const parts = (text ?? "").split(",").map(Number);
  return parts.length === count && parts.every(isFinite) && text ? parts : null;
}

function lassoPoints(text) {
  const points = (text ?? "").split(";").map((pair) => numbers(pair, 2)).filter(Boolean).slice(0, 48);
  return points.length > 2 ? points : null;
}
