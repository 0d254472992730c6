// What the page says when it has nothing to show, cannot reach something, or is still reading.

import { confidence, counted, number } from "../logic/format.js";
import { endsOperand, formatLine, isSign, parseLine, tokens, tokenType } from "../logic/query.js";
import { search, timeline } from "../model/api.js";
import { copyText, el, icon, svg } from "./dom.js";

const MAX_COUNTED = 100; // hits of a line that may help

const big = (name) => svg("svg", { class: `i big ${name === "mark" ? "mark" : ""}`, "aria-hidden": "true" }, svg("use", { href: `/page/icons.svg#${name}` }));

const terminal = (command, comment) => el("div.term", {}, el("span", {}, "$"), el("code", {}, command), comment && el("span.hide-s", {}, comment),
  el("button", { type: "button", title: "Copy", "aria-label": `Copy ${command}`, onclick: () => copyText(command) }, icon("copy", "s")));

export const empty = () => el("div.say", {}, big("mark"), el("h1", {}, "This library is empty"),
  el("p", {}, "Name a folder in the terminal. Results appear here while it is read; the originals stay where they are."),
  terminal("clew index ~/Pictures"), terminal("clew demo", "# or try it on sample photos"));

/** Return the page of a library that is read for the first time. */
export function indexing(status) {
  const { title, done = 0, total = 0, seconds_left: left, rate } = status.indexing;
  const share = total ? done / total : 0, end = Math.max(4, 560 * share);
  const path = `M0 2.5C${end * 0.5} 2.5 ${end * 0.8} 4 ${end} 5.8V8.2C${end * 0.8} 10 ${end * 0.5} 11.5 0 11.5Z`;
  const fact = (value, word) => value && el("div", {}, el("b.num", {}, value), el("span", {}, word));
  return el("div.say", {}, big("time"), el("h1", {}, `Indexing ${title?.split("/").filter(Boolean).at(-1) ?? "your folders"}`),
    el("p", {}, "You can search already. New items join the results when you search again."),
    el("div.prog", { role: "progressbar", "aria-label": "Indexing", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share) },
      svg("svg", { class: "p", viewBox: "0 0 560 14", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { class: "rest", d: "M0 7H560" }), svg("path", { class: "done", d: path })),
      el("div.nums", {}, fact(number(done), total ? "searchable" : "files found"), fact(total ? number(Math.max(0, total - done)) : null, "files left"), fact(rate && `${number(Math.round(rate))} / s`, "rate"), fact(left != null && duration(left), "left"))),
    failures(status));
}

const duration = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

function failures({ failures: count }) {
  if (!count) return null;
  const reasons = () => copyText("clew status --errors", "Copied: clew status --errors lists them with reasons");
  return el("p.small", {}, `${counted(count, "file")} could not be read. `, el("button.text-button", { type: "button", onclick: reasons }, "Show them with reasons"));
}

/** Return a line for each drive that is not connected. */
export const offline = (drives) => drives.map(({ root, files }) => el("p.note", {}, icon("drive"),
  el("span", {}, el("b", {}, `Drive “${root.split("/").filter(Boolean).at(-1) ?? root}” is not connected`),
    ` Its ${counted(files, "item")} are still found by their thumbnails. Originals open again when the drive is back. Nothing was removed.`)));

/** Return the page of a server that does not answer; it counts down to the next try. */
export function serverGone(error, seconds, retry) {
  const count = el("span.num", {}, String(seconds));
  const detail = el("p.small", { hidden: true }, error.message, error.status ? ` (${error.status})` : "");
  const timer = setInterval(() => { count.textContent = String(Math.max(0, --seconds)); if (seconds <= 0) { clearInterval(timer); retry(); } }, 1000);
  const node = el("div.say", { role: "alert" }, big("plug"), el("h1", {}, "The server does not answer"),
    el("p", {}, "Your words and your place are kept. Next try in ", count, " s. If it was stopped, start it again:"), terminal("clew serve"),
    el("div.acts2", {}, el("button.btn2.main", { type: "button", onclick: () => { clearInterval(timer); retry(); } }, "Try now"),
      el("button.btn2", { type: "button", onclick: () => (detail.hidden = !detail.hidden) }, "Show details")), detail);
  node.stop = () => clearInterval(timer);
  return node;
}

/** Return the head of a list without confident hits, and fill in lines that would help; `leave` leaves the lasso. */
export function nothing(results, total, go, leave) {
  const { line, answer } = results;
  const { chips, words } = parseLine(line);
  const under = chips.find((chip) => /^under:/i.test(chip))?.slice(6).replaceAll('"', "");
  const items = `${total != null ? counted(total, "item") : "the items"}${leave ? " in the lasso" : ""}`;
  const list = el("div.try", {});
  const best = (leave ? null : answer.best) ?? results.visible()[0]?.confidence;
  const text = best == null ? "No item has these words." : null;
  const node = el("div.none", {}, el("h1", {}, "Nothing here matches well"),
    text ? el("p", {}, text) : el("p", {}, `The best of ${items} `, under && ["in ", el("b", {}, under), " "], `reaches ${confidence(best)}. Below 0.75, unrelated words often find as much.`), list);
  if (!leave) fillTries(list, { words, chips, answer, go });
  else if (answer.confident) list.append(row("close", ["Search without ", el("code", {}, "in lasso")], countedMatches(answer.confident, "likely match", "likely matches"), leave));
  return node;
}

/** Return how many confident hits a line has, as far as one answer tells. */
const countMatches = async (line) => (await search({ q: line, count: MAX_COUNTED })).confident;

/** Return such a count with a word. */
const countedMatches = (count, one, many) => (count < MAX_COUNTED ? counted(count, one, many) : `${count}+ ${many}`);

const row = (name, parts, count, act) => el("button.try-row", { type: "button", onclick: act }, icon(name), el("span", {}, parts), el("em", {}, count));

async function fillTries(list, { words, chips, answer, go }) {
  const count = (line) => countMatches(line).catch(() => 0);
  const add = (node) => list.append(node);
  const filters = chips.filter((chip) => tokenType(chip) === "filter" || tokenType(chip) === "not");
  const tries = filters.map(async (chip) => {
    const line = formatLine(words, chips.filter((other) => other !== chip));
    const found = await count(line);
    if (found) add(row("close", [/^under:/i.test(chip) ? "Search everywhere, without " : "Search without ", el("code", {}, chip)], countedMatches(found, "likely match", "likely matches"), () => go(line)));
  });
  for (const offer of answer.offers?.read_as ?? []) {
    tries.push(timeline(offer.token).then(({ total }) => {
      if (total) add(row("calendar", [`Read “${offer.words}” as `, el("code", {}, offer.token)], `${counted(total, "item")} to search`, () => go(readAs(formatLine(words, chips), offer))));
    }).catch(() => null));
  }
  const parts = tokens(words).map((token) => token.text).filter((word) => /^[\p{L}\p{N}]{4,}$/u.test(word));
  for (const word of parts.slice(0, 3)) {
    if (parts.length === 1) break;
    const line = formatLine(`"${word}"`, chips);
    tries.push(count(line).then((found) => found && add(row("quote", ["Look for the exact word ", el("code", {}, `"${word}"`)], countedMatches(found, "match", "matches"), () => go(line)))));
  }
  await Promise.all(tries);
  add(row("picture", "Drop a picture that looks like it", "or paste it", () => document.querySelector(".pictures").click()));
}

/** Return a line with recognized words replaced by their filter, which excludes if they are all that a minus excludes. */
export function readAs(line, { words, token }) {
  const list = tokens(line), some = words.toLowerCase().split(" ");
  const at = list.findIndex((_, i) => some.every((word, n) => list[i + n]?.text.toLowerCase() === word));
  if (at < 0) return formatLine(line, [token]);
  list.splice(at, some.length);
  const [sign] = isSign(list[at - 1]) && endsOperand(list[at]) ? list.splice(at - 1, 1) : [];
  return [...list.map((part) => part.text), sign?.text === "-" ? `-${token}` : token].join(" ");
}

/** Return the page of filters that exclude everything, with one line a filter. */
export function noneFits(line, go) {
  const { words, chips } = parseLine(line);
  const filters = chips.filter((chip) => tokenType(chip) === "filter");
  const list = el("div.try", {});
  for (const chip of filters) {
    const rest = formatLine(words, chips.filter((other) => other !== chip));
    const counting = words.trim() ? countMatches(rest).then((count) => countedMatches(count, "match", "matches")) : timeline(rest).then((answer) => number(answer.total));
    counting.then((count) => list.append(row("close", ["without ", el("code", {}, chip)], count, () => go(rest)))).catch(() => null);
  }
  const names = filters.flatMap((chip, i) => [i ? " " : "", el("code", {}, chip)]);
  return el("div.none", {}, el("h1", {}, "No item fits ", names), list);
}

export const cannotShow = (reason, copyPath, download) => el("div.cannot", {}, el("h2", {}, "This file cannot be shown here"), el("p", {}, reason),
  el("div.acts2", {}, el("button.btn2", { type: "button", onclick: copyPath }, icon("copy"), "Copy path"), el("button.btn2", { type: "button", onclick: download }, icon("down"), "Download")));

