import assert from "node:assert/strict";
import { test } from "node:test";

import { dateTimeGroup, nextTheme } from "../../static/js/shell-rules.js";

test("a date-time group is in UTC and padded", () => {
  assert.equal(dateTimeGroup(new Date("2026-11-22T15:30:00Z")), "221530ZNOV26");
  assert.equal(dateTimeGroup(new Date("2027-03-04T07:06:00+02:00")), "040506ZMAR27");
});

test("the theme goes round: system, light, dark, system", () => {
  assert.equal(nextTheme(undefined), "light");
  assert.equal(nextTheme("light"), "dark");
  assert.equal(nextTheme("dark"), undefined);
});
