// The shell on every page: clock, theme, menus, keyboard, messages. Pages work without it.

import { dateTimeGroup, nextTheme } from "./shell-rules.js";

const root = document.documentElement;
root.classList.add("js");

// htmx may replace the whole body, so nothing here holds on to an element.

// Clock: the server wrote the first value; the offset corrects a wrong clock on this machine.
const written = document.querySelector("[data-clock]");
if (written) {
  const offset = Date.parse(written.dateTime) - Date.now();
  const tick = () => {
    const now = new Date(Date.now() + offset);
    for (const clock of document.querySelectorAll("[data-clock]")) {
      clock.dateTime = now.toISOString();
      clock.textContent = dateTimeGroup(now);
    }
    setTimeout(tick, 1000 - (now.getTime() % 1000));
  };
  tick();
}

// Theme: a cookie, so that the server writes the attribute and nothing flashes. No cookie: as the system says.
const showTheme = () => {
  for (const toggle of document.querySelectorAll("[data-theme-toggle]")) {
    toggle.textContent = `Theme: ${root.dataset.bsTheme ?? "auto"}`;
  }
};
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-toggle]")) return;
  const theme = nextTheme(root.dataset.bsTheme);
  const secure = location.protocol === "https:" ? "; Secure" : "";
  if (theme) root.dataset.bsTheme = theme;
  else delete root.dataset.bsTheme;
  document.cookie = `theme=${theme ?? ""}; Path=/; Max-Age=${theme ? 31536000 : 0}; SameSite=Lax${secure}`;
  showTheme();
});
document.addEventListener("htmx:afterSettle", showTheme);
showTheme();

// Menus are <details>: a click elsewhere or Escape closes them.
const openMenus = () => document.querySelectorAll("details.menu[open]");
document.addEventListener("click", (event) => {
  for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-dismiss]")) event.target.closest(".message").remove();
});

// Keyboard: "/" search, "n" new, "g" and a letter for a page, "?" help. Never while typing.
let waitingForPage = 0;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    return;
  }
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (Date.now() < waitingForPage) {
    waitingForPage = 0;
    const link = document.querySelector(`.nav [data-key="${CSS.escape(event.key)}"]`);
    if (link) link.click();
  } else if (event.key === "g") {
    waitingForPage = Date.now() + 1500;
  } else if (event.key === "/") {
    const search = document.querySelector("[data-search], .filters input[name=q], .filters input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  } else if (event.key === "n") {
    document.querySelector("[data-new]")?.click();
  } else if (event.key === "?") {
    document.getElementById("keyboard-help")?.showPopover();
  }
});

// Filters that are not set stay out of the address.
document.addEventListener("htmx:configRequest", (event) => {
  const { verb, formData } = event.detail;
  if (verb !== "get") return;
  for (const [name, value] of [...formData.entries()]) if (value === "" || value === "unknown") formData.delete(name);
});

// A failed htmx request must be seen: say it where messages are.
const complain = (text) => {
  const message = document.createElement("div");
  message.className = "message message--error";
  message.setAttribute("role", "alert");
  message.textContent = text;
  document.getElementById("messages")?.append(message);
};
document.addEventListener("htmx:sendError", () => complain("The server did not answer. What you see may be old."));
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status === 401 || status === 403) complain("You are signed out, or may not do this. Load the page again.");
  else if (status === 412) complain("Somebody changed this in the meantime. Load the page again to see both versions.");
  else complain(`The server answered ${status}. Nothing was changed on this page.`);
});

document.getElementById("form-errors")?.focus();
