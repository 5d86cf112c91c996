// In which of five classes a count falls, apart from the page so that node can test it.

const NICE = [1, 2, 5];

/**
 * The lower ends of at most five classes for counts from 1 to most, each about as many times as big as the one before:
 * scaleOf(400) is [1, 5, 20, 50, 200]. Nothing to show gives [].
 */
export function scaleOf(most) {
  if (most < 1) return [];
  const ends = new Set([1]);
  for (let step = 1; step < 5; step++) {
    const end = nice(most ** (step / 5));
    if (end <= most) ends.add(end);
  }
  return [...ends].sort((one, other) => one - other);
}

/** The class of a count, 0 for the lowest. */
export function classOf(count, ends) {
  let found = 0;
  while (found + 1 < ends.length && count >= ends[found + 1]) found += 1;
  return found;
}

/** What the classes hold, in words: ["1–4", "5–19", "20 and more"]. */
export function ranges(ends) {
  return ends.map((end, index) => {
    const next = ends[index + 1];
    if (next === undefined) return `${end.toLocaleString("en")} and more`;
    return next - 1 === end ? String(end) : `${end.toLocaleString("en")}–${(next - 1).toLocaleString("en")}`;
  });
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [...NICE, 10].reduce((best, each) => (Math.abs(each * power - value) < Math.abs(best * power - value) ? each : best));
  return Math.max(2, factor * power);
}
