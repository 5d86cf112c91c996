// Keys of the triage desk. Every key presses something that is on the page; htmx may replace the desk at any time.

import { pressed } from "./triage-rules.js";

let before = "";
document.addEventListener("keydown", (event) => {
  const key = pressed(event, before);
  before = event.key;
  if (!key) return;
  const way = { j: "following", k: "previous" }[key];
  const target = way
    ? document.querySelector(`[data-go="${way}"]`)
    : document.querySelector(`[data-press="${key}"]`);
  if (target) {
    event.preventDefault();
    target.click();
    return;
  }
  const field = document.querySelector(`[data-press-focus="${key}"]`);
  if (field) {
    event.preventDefault();
    field.focus();
  }
});
