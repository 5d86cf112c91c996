// Shows where the rows of an import would lie: hexes with how many rows each holds. L is Leaflet's global.

import { drawBaseMap } from "./base-map.js";
import { classOf, scaleOf } from "./hex-scale.js";

// django-leaflet starts its map on "load", which comes after modules run, so we are in time to hear it.
window.addEventListener("map:init", async ({ detail: { map } }) => {
  const rows = JSON.parse(document.getElementById("import-cells").textContent);
  const ends = scaleOf(Math.max(0, ...rows.map(({ rows: count }) => count)));
  const shapes = rows.map(({ ring, rows: count }) => {
    const corners = ring.map(([longitude, latitude]) => [latitude, longitude]);
    const shape = L.polygon(corners, { className: `hex hex-${classOf(count, ends)}` });
    const said = document.createElement("span");
    said.textContent = `${count.toLocaleString("en")} ${count === 1 ? "row" : "rows"}`;
    return shape.bindTooltip(said, { sticky: true });
  });
  const layer = L.featureGroup(shapes).addTo(map);
  if (shapes.length) map.fitBounds(layer.getBounds().pad(0.1));
  await drawBaseMap(map);
});
