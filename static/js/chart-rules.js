// What the readiness chart is asked: which day lies under a point, and what stands on a day. Pure, so that node tests it.

const DAY_MS = 86_400_000;

export const dayNumber = (iso) => Date.parse(`${iso}T00:00:00Z`) / DAY_MS;
export const isoDay = (number) => new Date(number * DAY_MS).toISOString().slice(0, 10);

// x is in units of the drawing; beyond its ends lies its first or last day.
export const dayAt = (x, data) => {
  const first = dayNumber(data.first);
  const span = dayNumber(data.last) - first + 1;
  const place = Math.floor(((x - data.left) / (data.width - data.left)) * span);
  return first + Math.min(Math.max(place, 0), span - 1);
};

export const middleOf = (number, data) => {
  const first = dayNumber(data.first);
  const span = dayNumber(data.last) - first + 1;
  return data.left + ((number - first + 0.5) / span) * (data.width - data.left);
};

export const textOn = (number, data) =>
  data.stretches.find(({ first, last }) => dayNumber(first) <= number && number <= dayNumber(last))?.text ?? "";
