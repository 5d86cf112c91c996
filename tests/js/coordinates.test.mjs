import assert from "node:assert/strict";
import { test } from "node:test";

import { asDegrees, asMgrs, decimalsAt, metresPerPixel } from "../../static/js/coordinates.js";

test("a place is written in degrees with its hemispheres", () => {
  assert.equal(asDegrees(48.4567, 31.2345), "48.4567° N, 31.2345° E");
  assert.equal(asDegrees(-33.5, -70.25, 2), "33.50° S, 70.25° W");
});

test("MGRS is the same as the server's", () => {
  assert.equal(asMgrs(48.5, 31.5), "36U UU 89193 72962");
  assert.equal(asMgrs(48.4567, 31.2345), "36U UU 69470 68567");
  assert.equal(asMgrs(48.5, 31.5, 2), "36U UU 89 72");
  assert.equal(asMgrs(48.5, 31.5, 0), "36U UU");
});

test("where MGRS has no squares nothing is written", () => {
  assert.equal(asMgrs(89, 31), "");
  assert.equal(asMgrs(48, 500), "");
});

test("a click far out deserves fewer digits than one near", () => {
  assert.deepEqual([4, 8, 12, 18].map((zoom) => decimalsAt(zoom, 48)), [1, 2, 4, 5]);
  assert.ok(Math.abs(metresPerPixel(0, 0) - 156543) < 1);
});
