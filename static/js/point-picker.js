// Picks one point: on a small map, or typed as degrees, DMS or MGRS, or by a name; each is shown in the others.
// The fields are named by data-place (see templates/monitoring/_point_picker.html); the form works without this.

import { drawBaseMap, showCursor } from "./base-map.js";
import { decimalsAt } from "./coordinates.js";
import { offerPlaces } from "./place-search.js";

const SPELLINGS = ["degrees", "dms", "mgrs"];

window.addEventListener("map:init", ({ detail: { map } }) => {
  const picker = map.getContainer().closest("[data-point-picker]");
  if (picker) start(map, picker);
});

function start(map, picker) {
  const field = (name) => picker.querySelector(`[data-place="${name}"]`);
  const { convert, search } = picker.dataset;
  const mark = L.circleMarker([0, 0], { className: "picked", radius: 7 });
  const reach = L.circle([0, 0], { className: "picked picked--reach", radius: 0, interactive: false });
  drawBaseMap(map);
  showCursor(map);
  map.getContainer().setAttribute("aria-label", "Map. Click the place, or move with the arrow keys and press Enter.");

  const say = (sentence, isError = false) => {
    const message = field("message");
    message.textContent = sentence;
    message.classList.toggle("errorlist", isError);
  };
  const draw = ({ latitude, longitude, precision_m: radius }) => {
    const at = [latitude, longitude];
    mark.setLatLng(at).addTo(map);
    reach.setLatLng(at).setRadius(radius).addTo(map);
  };
  const show = (point, typedIn) => {
    for (const name of [...SPELLINGS, "longitude", "latitude"]) {
      const input = field(name);
      if (input && input !== typedIn) input.value = point[name];
    }
    const precision = field("precision");
    if (precision) precision.value = point.precision_m;
    draw(point);
    say(point.doubt || `Within ${point.precision_m.toLocaleString("en")} m`);
    picker.dispatchEvent(new CustomEvent("place:picked", { detail: point, bubbles: true }));
  };
  const read = async (text, { typedIn, move = true } = {}) => {
    const response = await fetch(`${convert}?${new URLSearchParams({ text })}`);
    const answer = await response.json();
    if (!response.ok) return say(answer.detail ?? "The place could not be read.", true);
    show(answer, typedIn);
    if (move) map.setView([answer.latitude, answer.longitude], Math.max(map.getZoom(), 10));
  };
  const clear = () => {
    for (const name of [...SPELLINGS, "longitude", "latitude", "precision"]) {
      const input = field(name);
      if (input) input.value = "";
    }
    mark.remove();
    reach.remove();
    say("");
  };
  // What the page came with is only drawn: reading it anew would change how exact it was said to be.
  const drawGiven = async (text) => {
    const response = await fetch(`${convert}?${new URLSearchParams({ text })}`);
    if (!response.ok) return;
    const answer = await response.json();
    draw({ ...answer, precision_m: Number(field("precision")?.value) || answer.precision_m });
    map.setView([answer.latitude, answer.longitude], Math.max(map.getZoom(), 9));
  };
  const pick = ({ lat, lng }) => {
    const decimals = decimalsAt(map.getZoom(), lat);
    read(`${lat.toFixed(decimals)}, ${lng.toFixed(decimals)}`, { move: false });
  };

  for (const name of SPELLINGS) {
    const input = field(name);
    input?.addEventListener("change", () => {
      if (input.value.trim()) read(input.value, { typedIn: input });
      else clear();
    });
  }
  field("precision")?.addEventListener("change", ({ target }) => {
    if (map.hasLayer(reach)) reach.setRadius(Number(target.value) || 0);
  });
  map.on("click", (event) => pick(event.latlng.wrap()));
  map.getContainer().addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target !== map.getContainer()) return;
    event.preventDefault();
    pick(map.getCenter().wrap());
  });
  const name = field("name");
  if (name) {
    offerPlaces(name, search, (place) => {
      name.value = place.name;
      show(place);
      map.setView([place.latitude, place.longitude], Math.max(map.getZoom(), 10));
    });
  }
  const given = SPELLINGS.map(field).find((input) => input?.value.trim());
  if (given) drawGiven(given.value);
}
