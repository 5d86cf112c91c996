import assert from "node:assert/strict";
import { test } from "node:test";

import { daysOf, stepCount, stepOf } from "../../static/js/days.js";

test("a week has seven days, also over a clock change", () => {
  assert.equal(stepCount("2027-03-25", "2027-03-31", 1), 7);
  assert.deepEqual(daysOf(3, "2027-03-25", "2027-03-31", 1), ["2027-03-28", "2027-03-28"]);
});

test("the last step may be shorter", () => {
  assert.equal(stepCount("2027-01-01", "2027-01-10", 7), 2);
  assert.deepEqual(daysOf(1, "2027-01-01", "2027-01-10", 7), ["2027-01-08", "2027-01-10"]);
});

test("a day lies in one step, and no day in none", () => {
  assert.equal(stepOf("2027-01-08", "2027-01-01", 7), 1);
  assert.equal(stepOf("2026-12-01", "2027-01-01", 7), 0);
  assert.equal(stepOf("", "2027-01-01", 7), null);
});
