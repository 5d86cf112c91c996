// A day cursor on the readiness chart: pointer or arrow keys move it, Enter opens the day. The drawing is the server's.

import { dayAt, dayNumber, isoDay, middleOf, textOn } from "./chart-rules.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 };

const begin = (chart, data, told) => {
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "chart__cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", String(data.base));
  cursor.setAttribute("visibility", "hidden");
  chart.append(cursor);
  chart.setAttribute("tabindex", "0");
  const first = dayNumber(data.first);
  const last = dayNumber(data.last);
  let now = Math.min(Math.max(dayNumber(data.day), first), last);

  const show = (number) => {
    now = Math.min(Math.max(number, first), last);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, String(middleOf(now, data)));
    cursor.setAttribute("visibility", "visible");
    told.textContent = `${isoDay(now)}: ${textOn(now, data)}`;
  };
  const open = () => {
    const address = new URL(location.href);
    address.searchParams.set("on", isoDay(now));
    location.assign(address);
  };

  chart.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    show(dayAt(at.x, data));
  });
  chart.addEventListener("dblclick", open);
  chart.addEventListener("focus", () => show(now));
  chart.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in STEPS) show(now + STEPS[event.key] * (event.shiftKey ? 7 : 1));
    else if (event.key === "Home") show(first);
    else if (event.key === "End") show(last);
    else if (event.key === "Enter") open();
    else return;
    event.preventDefault();
  });
};

// htmx may replace the page's middle, and with it the drawing.
const start = () => {
  const chart = document.querySelector("svg[data-chart]");
  const written = document.getElementById("chart-data");
  const told = document.getElementById("chart-day");
  if (!chart || !written || !told || chart.querySelector(".chart__cursor")) return;
  begin(chart, JSON.parse(written.textContent), told);
};
start();
document.addEventListener("htmx:afterSettle", start);
