// Draws our own base map under whatever a page shows: Ukraine's units, its neighbours, names. L is Leaflet's global.
// The colours are in css/map.css, so that the map follows the theme.

import { asDegrees, asMgrs } from "./coordinates.js";
import { chosen } from "./map-labels.js";

const SOURCE = "Borders: Natural Earth, simplified. Names: GeoNames (CC BY 4.0)";

/** Draw the base map; the addresses of its files stand in the page's [data-base-map]. Resolves when it is there. */
export async function drawBaseMap(map) {
  const { ukraine, neighbours, labels } = document.querySelector("[data-base-map]").dataset;
  for (const [name, level] of [["land", 150], ["names", 450]]) {
    map.createPane(name).style.zIndex = level; // the land below an operator's tiles (200), names above what the page draws
    map.getPane(name).style.pointerEvents = "none";
  }
  map.attributionControl?.addAttribution(SOURCE);
  const [own, others, names] = await Promise.all(
    [ukraine, neighbours, labels].map(async (url) => {
      const response = await fetch(url);
      if (!response.ok) throw new Error(`The base map could not be loaded (${response.status})`);
      return response.json();
    }),
  );
  const land = (data, className) => L.geoJSON(data, { pane: "land", interactive: false, style: { className } }).addTo(map);
  land(own, "land land--ukraine");
  land(others, "land"); // last, so that the line between countries lies above those between units
  const layer = L.layerGroup().addTo(map);
  const write = () => {
    layer.clearLayers();
    const place = (latitude, longitude) => map.latLngToContainerPoint([latitude, longitude]);
    for (const [name, longitude, latitude, people] of chosen(names, { zoom: map.getZoom(), place, size: map.getSize() })) {
      const text = document.createElement("span");
      text.textContent = name;
      const className = `place-name${people >= 500_000 ? " place-name--city" : ""}`;
      const icon = L.divIcon({ className, html: text, iconSize: null });
      L.marker([latitude, longitude], { icon, pane: "names", interactive: false, keyboard: false }).addTo(layer);
    }
  };
  map.on("moveend", write);
  write();
}

/** Show degrees and MGRS of the place under the cursor, or of the middle of the map when there is none. */
export function showCursor(map) {
  const control = L.control({ position: "bottomleft" });
  control.onAdd = () => {
    const box = L.DomUtil.create("div", "map-cursor mono");
    const write = ({ lat, lng }) => {
      const { lng: longitude } = L.latLng(lat, lng).wrap();
      box.textContent = `${asDegrees(lat, longitude)}  ${asMgrs(lat, longitude, 4)}`;
    };
    map.on("mousemove", (event) => write(event.latlng));
    map.on("move", () => write(map.getCenter()));
    write(map.getCenter());
    return box;
  };
  control.addTo(map);
}
