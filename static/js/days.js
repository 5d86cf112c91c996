// The steps of the time slider, apart from the page so that node can test it. A day is its text, 2027-03-10.

const DAY = 86_400_000;

const number = (day) => Date.parse(`${day}T00:00:00Z`) / DAY;
const text = (count) => new Date(count * DAY).toISOString().slice(0, 10);

/** How many steps of so many days there are from the first day to the last, both counted. */
export function stepCount(first, last, days) {
  return Math.ceil((number(last) - number(first) + 1) / days);
}

/** The first and last day of a step, the first step is 0; the last step may be shorter. */
export function daysOf(step, first, last, days) {
  const start = number(first) + step * days;
  return [text(start), text(Math.min(start + days - 1, number(last)))];
}

/** The step that a day lies in, or null when there is no day. */
export function stepOf(day, first, days) {
  return day ? Math.max(0, Math.floor((number(day) - number(first)) / days)) : null;
}
