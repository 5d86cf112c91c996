import assert from "node:assert/strict";
import { test } from "node:test";

import { classOf, ranges, scaleOf } from "../../static/js/hex-scale.js";

test("classes begin at one, rise, and end at or below the most", () => {
  for (const most of [1, 2, 3, 7, 40, 400, 12_345, 1_000_000]) {
    const ends = scaleOf(most);
    assert.equal(ends[0], 1);
    assert.ok(ends.length <= 5 && ends.at(-1) <= most, String(ends));
    assert.deepEqual(ends, [...new Set(ends)].sort((one, other) => one - other));
  }
  assert.deepEqual(scaleOf(0), []);
});

test("a count falls in the class that its range names", () => {
  const ends = [1, 5, 20];
  assert.deepEqual([1, 4, 5, 19, 20, 999].map((count) => classOf(count, ends)), [0, 0, 1, 1, 2, 2]);
  assert.deepEqual(ranges(ends), ["1–4", "5–19", "20 and more"]);
  assert.deepEqual(ranges([1, 2, 3]), ["1", "2", "3 and more"]);
});
