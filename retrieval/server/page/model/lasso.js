// What is inside a lasso on the map.

import { inside } from "../logic/map_geometry.js";
import { map } from "./api.js";

let points = null; // of the map, once requested

/** Return the map `{points, names, sampled}`, requested if it is not known or `isOpened`; throws as `request` does. */
export async function mapData({ isOpened } = {}) {
  return (points = (isOpened ? null : points) ?? (await map()));
}

/** Return the ids inside a polygon of map coordinates. */
export async function idsInside(lasso) {
  const { id, x, y } = (await mapData()).points, isIn = inside(lasso);
  return new Set(id.filter((_, i) => isIn(x[i], y[i])));
}
