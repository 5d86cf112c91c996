import assert from "node:assert/strict";
import { test } from "node:test";

import { chosen } from "../../static/js/map-labels.js";

const size = { x: 500, y: 500 };
const place = (latitude, longitude) => ({ x: longitude, y: latitude });
const names = (labels) => labels.map(([name]) => name);

test("the bigger of two places that would cover each other is named", () => {
  const labels = [["Big", 100, 100, 900_000, "UA"], ["Small", 110, 103, 800_000, "UA"], ["Far", 100, 300, 700_000, "UA"]];
  assert.deepEqual(names(chosen(labels, { zoom: 6, place, size })), ["Big", "Far"]);
});

test("far out only cities are named, and nothing outside the view", () => {
  const labels = [["City", 10, 10, 2_000_000, "UA"], ["Gone", 900, 10, 1_900_000, "UA"], ["Town", 10, 200, 50_000, "UA"]];
  assert.deepEqual(names(chosen(labels, { zoom: 5, place, size })), ["City"]);
  assert.deepEqual(names(chosen(labels, { zoom: 10, place, size })), ["City", "Town"]);
});
