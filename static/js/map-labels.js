// Which names stand on the map, apart from the page so that node can test it.

const LETTER = 6.2; // pixels, about
const LINE = 15;
const FEWEST_PEOPLE = { 4: 1_500_000, 5: 700_000, 6: 250_000, 7: 100_000, 8: 40_000, 9: 15_000 };

/**
 * Choose names that do not cover each other, the biggest places first.
 * labels: [name, longitude, latitude, people, country], the biggest first. place: (latitude, longitude) → {x, y} in
 * pixels of the view. size: {x, y} of the view. Returns the chosen labels.
 */
export function chosen(labels, { zoom, place, size, most = 60 }) {
  const taken = [];
  const fewest = FEWEST_PEOPLE[Math.max(4, zoom)] ?? 0;
  for (const label of labels) {
    if (taken.length >= most || label[3] < fewest) break;
    const { x, y } = place(label[2], label[1]);
    const box = { west: x - 4, east: x + 8 + LETTER * label[0].length, north: y - LINE / 2, south: y + LINE / 2 };
    if (x < 0 || y < 0 || x > size.x || y > size.y) continue;
    if (taken.some(({ box: other }) => overlap(box, other))) continue;
    taken.push({ label, box });
  }
  return taken.map(({ label }) => label);
}

function overlap(one, other) {
  return one.west < other.east && other.west < one.east && one.north < other.south && other.north < one.south;
}
