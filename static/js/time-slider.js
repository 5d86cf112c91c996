// Moves through the days of the map: a range input, and a button that plays it.

import { daysOf, stepCount, stepOf } from "./days.js";

const PAUSE = 900; // milliseconds a step is shown while playing

/** Start the slider; ``show(day)`` is asked for the step that begins on that day, or for all days with "". */
export function startSlider(box, show) {
  const part = (name) => box.querySelector(`[data-slider="${name}"]`);
  const [range, play, all, said] = ["range", "play", "all", "said"].map(part);
  let period = null; // {first, last, step}
  let timer = null;

  const say = (step) => {
    const days = step === null ? [period.first, period.last] : daysOf(step, period.first, period.last, period.step);
    const words = days[0] === days[1] ? days[0] : `${days[0]} to ${days[1]}`;
    said.textContent = words;
    range.setAttribute("aria-valuetext", words);
    box.classList.toggle("time-slider--all", step === null);
  };
  const stop = () => {
    clearTimeout(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };
  const go = async (step) => {
    range.value = step;
    say(step);
    await show(daysOf(step, period.first, period.last, period.step)[0]);
  };
  const next = async () => {
    const step = box.classList.contains("time-slider--all") ? 0 : Number(range.value) + 1;
    if (step > Number(range.max)) return stop();
    await go(step);
    if (timer !== null) timer = setTimeout(next, PAUSE);
  };

  range.addEventListener("input", () => {
    stop();
    go(Number(range.value));
  });
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (Number(range.value) >= Number(range.max)) box.classList.add("time-slider--all"); // at the end: from the start
    play.textContent = "Stop";
    play.setAttribute("aria-pressed", "true");
    timer = 0;
    next();
  });
  all.addEventListener("click", () => {
    stop();
    say(null);
    show("");
  });

  /** Take the days that the server answered for. */
  return ({ first, last, step, on }) => {
    period = { first, last, step: Number(step) };
    range.max = Math.max(0, stepCount(first, last, period.step) - 1);
    const at = stepOf(on, first, period.step);
    if (timer === null) {
      range.value = at ?? range.max;
      say(at);
    }
  };
}
