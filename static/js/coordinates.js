// How a place is written, apart from the page so that node can test it. The server's monitoring/places.py is the judge.

import { forward } from "../vendor/mgrs/mgrs.esm.js";

const METRES_PER_DEGREE = 111195;

/** Write "48.4567° N, 31.2345° E" with so many decimals. */
export function asDegrees(latitude, longitude, decimals = 4) {
  const side = (value, letters) => `${Math.abs(value).toFixed(decimals)}° ${letters[value < 0 ? 1 : 0]}`;
  return `${side(latitude, "NS")}, ${side(longitude, "EW")}`;
}

/** Write "36U UU 69470 68567", with 0 to 5 digits a side; "" where MGRS has no squares (the poles, beyond the map). */
export function asMgrs(latitude, longitude, digits = 5) {
  try {
    const [, zone, square, rest] = forward([longitude, latitude], digits || 1).match(/^(\d{1,2}[A-Z])([A-Z]{2})(\d*)$/);
    return [zone, square, ...(digits ? [rest.slice(0, digits), rest.slice(digits)] : [])].join(" ");
  } catch {
    return "";
  }
}

/** How many metres one pixel of the map is at this zoom. Source: web Mercator, 256 pixels around the world at zoom 0. */
export function metresPerPixel(zoom, latitude) {
  return (40075016.686 * Math.cos((latitude * Math.PI) / 180)) / (256 * 2 ** zoom);
}

/** How many decimals of a degree a click deserves: half a unit of the last one is about two pixels or less. */
export function decimalsAt(zoom, latitude) {
  const reach = 2 * metresPerPixel(zoom, latitude);
  return Math.min(5, Math.max(1, Math.ceil(-Math.log10((2 * reach) / METRES_PER_DEGREE))));
}
