import assert from "node:assert/strict";
import { test } from "node:test";

import { pressed } from "../../static/js/triage-rules.js";

const event = (key, more = {}) => ({ key, target: { tagName: "BODY" }, ...more });

test("a key of the desk is pressed anywhere on the page", () => {
  assert.equal(pressed(event("j"), ""), "j");
  assert.equal(pressed(event("1", { target: { tagName: "INPUT", type: "checkbox" } }), ""), "1");
});

test("who types means the letter", () => {
  for (const target of [{ tagName: "INPUT", type: "text" }, { tagName: "TEXTAREA" }, { tagName: "SELECT" }])
    assert.equal(pressed(event("s", { target }), ""), "");
});

test("a letter after g goes to a page, and with a modifier it is the browser's", () => {
  assert.equal(pressed(event("o"), "g"), "");
  assert.equal(pressed(event("s", { ctrlKey: true }), ""), "");
});

test("other keys press nothing", () => {
  for (const key of ["x", "Enter", "g", "/"]) assert.equal(pressed(event(key), ""), "");
});
