// Requests to the server, all of the same origin.

/** An answer that is no success: `status` is 0 if the server does not answer. */
export class RequestError extends Error {
  constructor(status, message, column = null, retryAfter = 1) {
    super(message);
    Object.assign(this, { status, column, retryAfter });
  }
}

const withParameters = (path, parameters) => {
  const pairs = Object.entries(parameters).filter(([, value]) => value != null && value !== "");
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
};

/** Return the JSON of an answer; throws RequestError, or AbortError if `signal` is aborted. */
export async function request(path, { parameters = {}, signal, ...options } = {}) {
  let response;
  try {
    response = await fetch(withParameters(path, parameters), { signal, headers: { Accept: "application/json" }, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError(0, "The server does not answer");
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    const after = Number(response.headers.get("Retry-After")) || 1;
    const message = typeof body.error === "string" ? body.error : `The server answers ${response.status}.`;
    throw new RequestError(response.status, message, body.column ?? null, after);
  }
  return options.raw ? response : response.json();
}

const post = (path, body, options = {}) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options });

export const search = (parameters, signal) => request("/api/search", { parameters, signal });
export const details = (id, q, signal) => request(`/api/segments/${id}`, { parameters: { q }, signal });
export const segments = (ids, signal) => post("/api/segments", { ids }, { signal }).then((answer) => answer.items);
export const passage = (id, signal) => request(`/api/segments/${id}/text`, { parameters: { around: 40 }, signal });
export const wordsOnPage = (id, words, signal) =>
  request(`/api/segments/${id}/words?${words.slice(0, 20).map((word) => `word=${encodeURIComponent(word)}`).join("&")}`, { signal });
export const timeline = (q, signal) => request("/api/timeline", { parameters: { q }, signal });
export const timelineMonth = (month, parameters) => request(`/api/timeline/${month}`, { parameters });
export const facets = (q, signal) => request("/api/facets", { parameters: { q }, signal });
export const suggest = (q, caret, signal) => request("/api/suggest", { parameters: { q, caret }, signal });
export const status = () => request("/api/status");
export const map = () => request("/api/map");
export const exportSize = (ids) => post("/api/export", { ids, format: "size" });
export const exportFile = (ids, format) => post("/api/export", { ids, format }, { raw: true });

/** Search by a picture; the answer has the token that stands for it in the query line. */
export function searchPicture(file, parameters) {
  const form = new FormData();
  for (const [key, value] of Object.entries(parameters)) if (value != null && value !== "") form.set(key, value);
  form.set("image", file, "picture");
  return request("/api/search", { method: "POST", body: form });
}

export const thumbnailUrl = (id) => `/api/segments/${id}/thumbnail`;
export const mediaUrl = (id, parameters = {}) => withParameters(`/api/segments/${id}/media`, parameters);
export const clipUrl = (id, start, end) => withParameters(`/api/segments/${id}/clip`, { start, end });
