// The query line: which parts of it are shown as chips. The server has the grammar; this knows its tokens.

export const FILTERS = [
  ..."kind under date after before near camera lens tag rating size orientation".split(" "),
];
const PREFIX = /^-?([a-z]+)[:：](?=.)/i;
const CLOSING = { '"': '"', "“": "“”„‟", "”": "“”„‟", "„": "“”„‟", "«": "«»", "»": "«»" };

/** Return the tokens `{text, start, end}` of a line: texts between spaces that are not quoted. */
export function tokens(line) {
  const found = [];
  let at = 0;
  while (at < line.length) {
    if (/\s/.test(line[at])) { at++; continue; }
    const start = at;
    let closing = null;
    while (at < line.length && (closing || !/\s/.test(line[at]))) {
      if (line[at] === "\\") at++;
      else if (closing) closing = closing.includes(line[at]) ? null : closing;
      else closing = CLOSING[line[at]] ?? null;
      at++;
    }
    at = Math.min(at, line.length);
    found.push({ text: line.slice(start, at), start, end: at, open: Boolean(closing) });
  }
  return found;
}

export const isSign = (token) => token?.text === "+" || token?.text === "-";
const isOperand = (text) => /^[+-]?(#\d+|@[\p{L}\p{N}_-]+|pic:[\w-]+)$/u.test(text);

/** Return the type of a token: "filter", "not", "operand" or "words". */
export function tokenType(text) {
  const name = PREFIX.exec(text)?.[1].toLowerCase();
  if (name === "not") return text[0] === "-" ? "words" : "not";
  if (FILTERS.includes(name)) return "filter";
  return isOperand(text) ? "operand" : "words";
}

/** Return true if the token that follows is no further word of the same operand. */
export const endsOperand = (next) => !next || isSign(next) || tokenType(next.text) !== "words" || /^[+-]/.test(next.text);

/** Return `{words, chips}` of a line. A token that touches the caret stays text; so does a line with `|`. */
export function parseLine(line, caret = -1) {
  const list = tokens(line);
  if (list.some((token) => token.text === "|" || token.open)) return { words: line, chips: [] };
  const chips = [], kept = [];
  for (let i = 0; i < list.length; i++) {
    const token = list[i], signed = isSign(list[i - 1]) && kept.at(-1) === list[i - 1];
    const type = tokenType(token.text), start = signed ? list[i - 1].start : token.start;
    const touched = caret >= start && caret <= token.end;
    const isChip = type === "filter" || type === "not" ? !signed : type === "operand" && (!signed || endsOperand(list[i + 1]));
    if (!isChip || touched || (type === "operand" && !signed && inheritsMinus(token, kept))) {
      kept.push(token);
    } else if (type === "operand" && signed) {
      kept.pop();
      chips.push(`${list[i - 1].text} ${token.text}`);
    } else {
      chips.push(token.text);
    }
  }
  return { words: chips.length ? kept.map((token) => token.text).join(" ") : line, chips };
}

const inheritsMinus = (token, kept) => !/^[+-]/.test(token.text) && kept.some((other) => other.text === "-");

/** Return the line of words and chips: one string that works unchanged in the terminal. */
export const formatLine = (words, chips) => [words.trim(), ...chips].filter(Boolean).join(" ");

/** Return `{key, value, id, picture}` of a chip, as it is printed. */
export function chipParts(chip) {
  const id = /#(\d+)$/.exec(chip), picture = /pic:([\w-]+)$/.exec(chip), prefix = PREFIX.exec(chip);
  if (id && !prefix) return { key: chip.slice(0, id.index), value: id[0], id: Number(id[1]) };
  if (picture) return { key: `${chip.slice(0, picture.index)}`, value: "picture", picture: picture[1] };
  if (id) return { key: chip.slice(0, id.index), value: id[0], id: Number(id[1]) };
  if (prefix) return { key: chip.slice(0, prefix[0].length), value: chip.slice(prefix[0].length) };
  return { key: "", value: chip };
}

/** Return true if a line has filters and nothing that is ranked: the library by time shows it. */
export function isFiltersOnly(line) {
  const { words, chips } = parseLine(line);
  return !words.trim() && chips.every((chip) => tokenType(chip) === "filter");
}

/** Return the kind that a line asks for alone, or null. */
export function chosenKind(chips) {
  const kinds = chips.filter((chip) => /^kind:/i.test(chip)).map((chip) => chip.slice(5));
  return kinds.length === 1 ? kinds[0] : null;
}

/** Return chips with one kind chosen; null for all kinds. */
export function withKind(chips, kind) {
  const rest = chips.filter((chip) => !/^kind:/i.test(chip));
  return kind ? [...rest, `kind:${kind}`] : rest;
}

/** Return chips with a term appended once; its opposite is removed. */
export function withTerm(chips, term) {
  const id = /#\d+$/.exec(term)?.[0];
  return [...chips.filter((chip) => !id || /#\d+$/.exec(chip)?.[0] !== id), term];
}

const SMALL = new Set("a an the and or of in on at to with by for from is are".split(" "));

/** Return the words of a line that are worth marking in a text. */
export function markWords(line) {
  const { words } = parseLine(line);
  const parts = tokens(words).filter((token) => token.text !== "|").flatMap((token) =>
    token.text.startsWith('"') ? [token.text.slice(1, -1)] : token.text.split(/[^\p{L}\p{N}]+/u));
  return parts.filter((word) => word.length > 1 && !SMALL.has(word.toLowerCase()));
}

/** Return a value as it is written after `key:`. */
export const quoted = (value) => (/[\s"\\]/.test(value) ? `"${value.replace(/[\\"]/g, "\\$&")}"` : value);

/** True for a page, and for a passage of a page whose picture the server draws. */
export const isOnPage = (item) => item.kind === "page" || (item.kind === "text" && Boolean(item.page) && /\.pdf$/i.test(item.name));
