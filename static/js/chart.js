// A day cursor on the readiness chart: pointer or arrow keys move it, Enter opens the day. The drawing itself is the server's.

const DAY_MS = 86_400_000;
const day = (iso) => Date.parse(`${iso}T00:00:00Z`) / DAY_MS;
const iso = (number) => new Date(number * DAY_MS).toISOString().slice(0, 10);

export const dayAt = (x, data) => {
  const first = day(data.first);
  const span = day(data.last) - first + 1;
  const place = Math.floor(((x - data.left) / (data.width - data.left)) * span);
  return first + Math.min(Math.max(place, 0), span - 1);
};

export const textOn = (number, data) =>
  data.stretches.find((stretch) => day(stretch.first) <= number && number <= day(stretch.last))?.text ?? "";

const begin = (chart, data, told) => {
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "chart__cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", String(data.base));
  cursor.setAttribute("visibility", "hidden");
  chart.append(cursor);
  chart.setAttribute("tabindex", "0");
  let now = day(data.first);

  const show = (number) => {
    const first = day(data.first);
    const last = day(data.last);
    now = Math.min(Math.max(number, first), last);
    const x = data.left + ((now - first + 0.5) / (last - first + 1)) * (data.width - data.left);
    cursor.setAttribute("x1", String(x));
    cursor.setAttribute("x2", String(x));
    cursor.setAttribute("visibility", "visible");
    told.textContent = `${iso(now)}: ${textOn(now, data)}`;
  };
  const open = () => {
    const address = new URL(location.href);
    address.searchParams.set("on", iso(now));
    location.assign(address);
  };

  chart.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    show(dayAt(at.x, data));
  });
  chart.addEventListener("dblclick", open);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    if (step) show(now + (event.shiftKey ? step * 7 : step));
    else if (event.key === "Home") show(day(data.first));
    else if (event.key === "End") show(day(data.last));
    else if (event.key === "Enter") open();
    else return;
    event.preventDefault();
  });
};

const start = () => {
  const chart = document.querySelector("svg[data-chart]");
  const written = document.getElementById("chart-data");
  const told = document.getElementById("chart-day");
  if (!chart || !written || !told || chart.querySelector(".chart__cursor")) return;
  begin(chart, JSON.parse(written.textContent), told);
};
if (typeof document !== "undefined") {
  start();
  document.addEventListener("htmx:afterSettle", start);
}
