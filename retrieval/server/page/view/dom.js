// Builds elements. Data only becomes text or attributes, never markup: names of files are not to be trusted.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (selector, root = document) => root.querySelector(selector);

/** Return an element: properties that begin with "on" are listeners, `style` and `data` are objects. */
export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") Object.entries(value).forEach(([k, v]) => node.style.setProperty(k, v));
    else if (key === "data") Object.assign(node.dataset, value);
    else if (key === "class") node.className = `${node.className} ${value}`.trim();
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

/** Return an SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) if (value != null) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export const icon = (name, size = "") =>
  svg("svg", { class: `i ${size}`.trim(), "aria-hidden": "true" }, svg("use", { href: `/page/icons.svg#${name}` }));

/** Return a button with an icon and an accessible name that contains its key. */
export function iconButton(name, label, onclick, properties = {}) {
  return el("button.ic", { type: "button", title: label, "aria-label": label, onclick, ...properties }, icon(name));
}

/** Return text whose marked parts are in `<mark>`. */
export const markedText = (parts) => parts.map((part) => (part.marked ? el("mark", {}, part.text) : part.text));

/** Announce a text to screen readers, once an answer. */
export function announce(text) {
  const live = $("[role=status]");
  if (live.textContent !== text) live.textContent = text;
}

/** Show a short message above the lower edge. */
export function toast(text) {
  $(".toast")?.remove();
  const node = el("div.toast", { role: "status" }, text);
  document.body.append(node);
  setTimeout(() => node.remove(), 2600);
}

/** Copy a text and say so. */
export async function copyText(text, said = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea.sr", {}, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(said);
}

/** Load a style sheet once; resolves when it applies. */
export function stylesheet(href) {
  if ($(`link[href="${href}"]`)) return null;
  return new Promise((resolve) => document.head.append(el("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve })));
}

/** Start a download without leaving the page. */
export function download(url, name = "") {
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Use a theme, and remember it; "" follows the system. */
export function setTheme(theme) {
  theme ? localStorage.setItem("clew.theme", theme) : localStorage.removeItem("clew.theme");
  theme ? (document.documentElement.dataset.theme = theme) : delete document.documentElement.dataset.theme;
}

setTheme(localStorage.getItem("clew.theme") ?? "");
