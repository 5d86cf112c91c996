import assert from "node:assert/strict";
import { test } from "node:test";

import { dayAt, dayNumber, isoDay, middleOf, textOn } from "../../static/js/chart-rules.js";

const data = {
  left: 64,
  width: 164,
  first: "2027-03-25",
  last: "2027-04-03", // ten days, a change of clocks among them
  stretches: [
    { first: "2027-03-25", last: "2027-03-28", text: "need 10" },
    { first: "2027-03-29", last: "2027-04-03", text: "need 20" },
  ],
};

test("a point on the chart is a day, also beyond its ends", () => {
  assert.deepEqual(
    [0, 64, 73.9, 74, 163.9, 164, 900].map((x) => isoDay(dayAt(x, data))),
    ["2027-03-25", "2027-03-25", "2027-03-25", "2027-03-26", "2027-04-03", "2027-04-03", "2027-04-03"],
  );
});

test("the middle of a day lies under that day", () => {
  for (const iso of ["2027-03-25", "2027-03-28", "2027-04-03"]) {
    assert.equal(isoDay(dayAt(middleOf(dayNumber(iso), data), data)), iso);
  }
});

test("what stands on a day is its stretch's, both ends counted", () => {
  assert.deepEqual(
    ["2027-03-28", "2027-03-29", "2027-04-03", "2028-01-01"].map((iso) => textOn(dayNumber(iso), data)),
    ["need 10", "need 20", "need 20", ""],
  );
});
