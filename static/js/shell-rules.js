// Pure rules of the shell, apart from the page so that node can test them.

const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/** Write an instant as a date-time group in zone Z, 221530ZNOV26, like the template filter dtg. */
export function dateTimeGroup(at) {
  const two = (number) => String(number).padStart(2, "0");
  const day = two(at.getUTCDate()) + two(at.getUTCHours()) + two(at.getUTCMinutes());
  return `${day}Z${MONTHS[at.getUTCMonth()]}${two(at.getUTCFullYear() % 100)}`;
}

/** The theme after this one: as the system says (undefined), light, dark, and round again. */
export function nextTheme(theme) {
  const order = [undefined, "light", "dark"];
  return order[(order.indexOf(theme) + 1) % order.length];
}
