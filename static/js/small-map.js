// A small map of the latest events on another page: it draws what the map page would, and leads there.

import { drawBaseMap } from "./base-map.js";
import { drawZones, layersOf } from "./map-drawing.js";

window.addEventListener("map:init", async ({ detail: { map } }) => {
  const frame = map.getContainer().closest("[data-small-map]");
  if (!frame) return;
  const { events, zones, report, incident } = frame.dataset;
  const layers = layersOf(map, { report, incident });
  map.scrollWheelZoom.disable(); // the page scrolls, not the map
  drawBaseMap(map);
  drawZones(map, zones);
  const response = await fetch(events, { headers: { "HX-Request": "true" } });
  if (!response.ok) throw new Error(`The latest events could not be loaded (${response.status})`);
  const answer = new DOMParser().parseFromString(await response.text(), "text/html");
  layers.draw(JSON.parse(answer.getElementById("map-drawing").textContent));
  frame.querySelector("[data-small-map-said]").textContent = answer
    .getElementById("map-said")
    .textContent.replaceAll(/\s+/g, " ")
    .trim();
});
