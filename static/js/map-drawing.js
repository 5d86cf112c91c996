// Draws what the map shows: hexes, or events with how exact their places are. L is Leaflet's global.

import { classOf, ranges, scaleOf } from "./hex-scale.js";

const LETTERS = {
  fire: "F", ground: "G", weapons: "W", air: "A", infrastructure: "I", civilian: "C", monitors: "M", other: "O",
}; // prettier-ignore
const REACH_FROM = 9; // the zoom from which every place shows how exact it is

/** Make the layers of a map; returns draw(drawing), which replaces what was drawn, and highlight(key or null). */
export function layersOf(map, addresses) {
  const hexes = L.layerGroup().addTo(map);
  const reaches = L.layerGroup().addTo(map);
  const clusters = L.markerClusterGroup({
    maxClusterRadius: 38,
    showCoverageOnHover: false,
    spiderfyOnMaxZoom: true,
    animate: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    spiderLegPolylineOptions: { className: "spider-leg", weight: 1 },
    iconCreateFunction: (cluster) => {
      const count = cluster.getChildCount();
      const size = count < 10 ? 28 : count < 100 ? 34 : 42;
      return L.divIcon({ html: element("span", String(count)), className: "event-cluster", iconSize: [size, size] });
    },
  }).addTo(map);
  const marks = new Map();
  let lit = null;

  const drawHexes = (rows) => {
    const ends = scaleOf(Math.max(0, ...rows.map(([, events]) => events)));
    for (const [id, events, reports, ring] of rows) {
      const level = classOf(events, ends);
      const shape = L.polygon(ring.map(([longitude, latitude]) => [latitude, longitude]), { className: `hex hex-${level}` });
      shape.bindTooltip(element("span", `${plural(events, "event")} in ${plural(reports, "report")}`), { sticky: true });
      shape.on("click", () => map.fitBounds(shape.getBounds().pad(0.3)));
      shape.addTo(hexes);
      marks.set(id, shape);
    }
    return ends;
  };

  const drawPoints = ({ points, kinds, parties }) => {
    for (const [noun, id, longitude, latitude, precision, kind, accused, instant, placeName] of points) {
      const [label, family] = kinds[kind];
      const icon = L.divIcon({
        html: element("span", LETTERS[family]),
        className: `event-mark event-mark--${family} event-mark--${noun}`,
        iconSize: [20, 20],
      });
      const said = `${label}, ${instant.replace("T", " ").replace("Z", " UTC")}`;
      const mark = L.marker([latitude, longitude], { icon, alt: said, title: said, riseOnHover: true });
      mark.bindPopup(() => {
        const box = document.createElement("div");
        const link = element("a", said);
        link.href = addresses[noun].replace("/0/", `/${id}/`);
        box.append(link);
        if (accused) box.append(element("div", `Accused: ${parties[accused]}`));
        if (placeName) box.append(element("div", placeName));
        box.append(element("div", `Place known to within ${precision.toLocaleString("en")} m`, "muted"));
        return box;
      });
      mark.reach = { at: [latitude, longitude], radius: precision };
      mark.on("add", () => mark.getElement()?.setAttribute("aria-label", said));
      clusters.addLayer(mark);
      marks.set(`${noun}-${id}`, mark);
    }
  };
  const drawReaches = () => {
    reaches.clearLayers();
    if (map.getZoom() < REACH_FROM) return;
    for (const mark of marks.values()) {
      if (!mark.reach || !map.getBounds().contains(mark.reach.at)) continue;
      L.circle(mark.reach.at, { className: "reach", radius: mark.reach.radius, interactive: false }).addTo(reaches);
    }
  };
  map.on("moveend", drawReaches);

  const draw = (drawing) => {
    hexes.clearLayers();
    clusters.clearLayers();
    marks.clear();
    lit = null;
    const ends = drawHexes(drawing.hexes);
    drawPoints(drawing);
    drawReaches();
    return ranges(ends);
  };

  const highlight = (key) => {
    lit?.remove();
    lit = null;
    const mark = marks.get(key);
    if (!mark) return;
    lit = mark.reach
      ? L.circleMarker(mark.reach.at, { className: "lit", radius: 15, interactive: false }).addTo(map)
      : L.polygon(mark.getLatLngs(), { className: "lit", interactive: false }).addTo(map);
  };
  return { draw, highlight };
}

/** Draw the areas once; their names are told on hover. */
export async function drawZones(map, url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The areas could not be loaded (${response.status})`);
  map.createPane("zones").style.zIndex = 360;
  L.geoJSON(await response.json(), {
    pane: "zones",
    style: ({ properties }) => ({ className: `zone zone--${properties.kind}` }),
    onEachFeature: ({ properties }, layer) => layer.bindTooltip(element("span", `${properties.label}: ${properties.name}`), { sticky: true }),
  }).addTo(map);
}

// Leaflet reads a string as HTML; an element with a text keeps what people typed as plain text.
function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
