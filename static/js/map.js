// The map page: asks the server anew whenever the view, the filter or the day changes, and keeps all of it in the address.

import { drawBaseMap, showCursor } from "./base-map.js";
import { drawZones, layersOf } from "./map-drawing.js";
import { offerPlaces } from "./place-search.js";
import { startSlider } from "./time-slider.js";

const PAUSE = 120; // milliseconds without a movement before the server is asked

window.addEventListener("map:init", ({ detail: { map } }) => {
  const frame = map.getContainer().closest("[data-map-page]");
  if (frame) start(map, frame);
});

function start(map, frame) {
  const form = document.getElementById("map-form");
  const picture = () => document.getElementById("map-picture");
  const layers = layersOf(map, { report: frame.dataset.report, incident: frame.dataset.incident });
  let waiting;
  let current = null; // the request under way, so that an older answer never replaces a newer one

  const drawAnswer = () => {
    const data = document.getElementById("map-drawing");
    if (!data) return;
    const drawing = JSON.parse(data.textContent);
    const classes = layers.draw(drawing);
    const legend = (name) => document.querySelector(`[data-legend="${name}"]`);
    legend("hexes").hidden = drawing.hexes.length === 0;
    legend("points").hidden = drawing.points.length === 0;
    legend("ranges").replaceChildren(
      ...classes.map((words, level) => {
        const key = document.createElement("span");
        key.className = "map-key";
        const swatch = document.createElement("span");
        swatch.className = `map-key__hex hex-${level}`;
        key.append(swatch, ` ${words}`);
        return key;
      }),
    );
    slide(picture().dataset);
  };

  const ask = async () => {
    current?.abort();
    current = new AbortController();
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const address = `${location.pathname}?${query}`;
    history.replaceState(null, "", address);
    picture().setAttribute("aria-busy", "true");
    try {
      const response = await fetch(address, { headers: { "HX-Request": "true" }, signal: current.signal });
      if (!response.ok) throw new Error(`The map could not be loaded (${response.status}).`);
      const answer = new DOMParser().parseFromString(await response.text(), "text/html");
      picture().replaceWith(answer.getElementById("map-picture"));
      drawAnswer();
    } catch (error) {
      if (error.name === "AbortError") return;
      picture().removeAttribute("aria-busy");
      const said = document.getElementById("map-said");
      if (said) said.textContent = `${error.message} What is drawn is older than the view.`;
    }
  };
  const askSoon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, PAUSE);
  };
  const noteView = () => {
    const bounds = map.getBounds();
    const within = (value, most) => Math.min(most, Math.max(-most, value)).toFixed(3);
    const sides = [[bounds.getWest(), 180], [bounds.getSouth(), 90], [bounds.getEast(), 180], [bounds.getNorth(), 90]];
    form.elements.bbox.value = sides.map(([value, most]) => within(value, most)).join(",");
    form.elements.zoom.value = map.getZoom();
  };

  const slide = startSlider(document.getElementById("time-slider"), (day) => {
    form.elements.on.value = day;
    return ask();
  });

  // The view of the address, else the default of the map; after that every movement asks.
  const given = form.elements.bbox.value.split(",").map(Number);
  if (given.length === 4 && given.every(Number.isFinite)) {
    const [west, south, east, north] = given;
    const zoom = Number(form.elements.zoom.value) || map.getZoom();
    map.setView([(south + north) / 2, (west + east) / 2], zoom, { animate: false });
  }
  drawBaseMap(map);
  showCursor(map);
  drawZones(map, frame.dataset.zones);
  drawAnswer();
  noteView();
  // Without a drawing the filter was refused: the sentence stays until the person corrects it.
  const isAnswered = () => document.getElementById("map-drawing") !== null;
  if (isAnswered()) ask();
  map.on("moveend", () => {
    noteView();
    if (isAnswered()) askSoon();
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    form.elements.on.value = "";
    ask();
  });
  form.addEventListener("change", () => form.requestSubmit());

  // A row of the table and its mark on the map know each other.
  const lightUp = (event) => layers.highlight(event.target.closest?.("[data-mark]")?.dataset.mark ?? null);
  for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, lightUp);

  startSearch(map, frame);
}

function startSearch(map, frame) {
  const input = document.getElementById("map-search");
  const answer = document.getElementById("map-search-answer");
  const found = L.circleMarker([0, 0], { className: "picked", radius: 9, interactive: false });
  const go = ({ latitude, longitude, degrees, mgrs, precision_m: precision }, name = "") => {
    found.setLatLng([latitude, longitude]).addTo(map);
    const zoom = precision > 5000 ? 9 : precision > 500 ? 11 : 13;
    // Leaflet drops a move that is asked for while another is being animated.
    map.setView([latitude, longitude], Math.max(map.getZoom(), zoom), { animate: false });
    answer.textContent = [name, degrees, mgrs].filter(Boolean).join(" · ");
  };
  offerPlaces(input, frame.dataset.search, (place) => {
    input.value = place.name;
    go(place, place.name);
  });
  input.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter" || !input.value.trim()) return;
    event.preventDefault();
    const ask = async (url, query) => (await fetch(`${url}?${new URLSearchParams(query)}`)).json();
    const point = await ask(frame.dataset.convert, { text: input.value });
    if (!point.detail) return go(point);
    const looksLikeNumbers = /\d/.test(input.value);
    const [first] = looksLikeNumbers ? [] : (await ask(frame.dataset.search, { q: input.value })).results;
    if (first) go(first, first.name);
    else answer.textContent = looksLikeNumbers ? point.detail : `No place is called “${input.value.trim()}”.`;
  });
}
