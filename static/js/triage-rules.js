// Which key of the triage desk an event is, or "". Pure, so that node can test it without a browser.

const KEYS = "jksvdomu123456789";

// "g" and a letter go to another page (shell.js); whoever types in a field or holds a modifier means something else.
export function pressed({ key, target, ctrlKey, metaKey, altKey, defaultPrevented }, before) {
  if (ctrlKey || metaKey || altKey || defaultPrevented || before === "g") return "";
  const name = target?.tagName ?? "";
  const types = name === "TEXTAREA" || name === "SELECT" || target?.isContentEditable;
  if (types || (name === "INPUT" && target.type !== "checkbox")) return "";
  return key.length === 1 && KEYS.includes(key) ? key : "";
}
