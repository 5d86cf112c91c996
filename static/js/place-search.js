// A text field that offers places of the gazetteer while one types: a combobox with a list below it.

const PAUSE = 150; // milliseconds without a key before the server is asked

/** Make ``input`` offer places from ``url``; ``pick`` is called with the chosen one. */
export function offerPlaces(input, url, pick) {
  const list = document.createElement("ul");
  list.className = "suggestions";
  list.id = `${input.id || "place"}-suggestions`;
  list.role = "listbox";
  list.setAttribute("aria-label", "Places");
  list.hidden = true;
  input.after(list);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");
  input.autocomplete = "off";

  let places = [];
  let active = -1;
  let waiting;
  let asked = 0;

  const close = () => {
    places = [];
    active = -1;
    list.hidden = true;
    list.replaceChildren();
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (index) => {
    active = index;
    for (const [at, item] of [...list.children].entries()) item.ariaSelected = String(at === index);
    if (index >= 0) input.setAttribute("aria-activedescendant", list.children[index].id);
  };
  const take = (place) => {
    close();
    pick(place);
  };
  const show = () => {
    list.replaceChildren(
      ...places.map((place, index) => {
        const item = document.createElement("li");
        item.id = `${list.id}-${index}`;
        item.role = "option";
        item.ariaSelected = "false";
        const where = document.createElement("span");
        where.className = "muted small";
        where.textContent = [place.cyrillic, place.where].filter(Boolean).join(", ");
        item.append(place.name, " ", where);
        item.addEventListener("mousedown", (event) => {
          event.preventDefault(); // the field keeps the focus
          take(place);
        });
        return item;
      }),
    );
    list.hidden = places.length === 0;
    input.setAttribute("aria-expanded", String(places.length > 0));
  };
  const ask = async () => {
    const number = ++asked;
    const response = await fetch(`${url}?${new URLSearchParams({ q: input.value })}`);
    if (!response.ok || number !== asked) return;
    close();
    places = (await response.json()).results;
    show();
  };

  input.addEventListener("input", () => {
    clearTimeout(waiting);
    if (input.value.trim().length < 2) close();
    else waiting = setTimeout(ask, PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && places.length) {
      event.stopPropagation();
      close();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && places.length) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark((active + step + places.length) % places.length);
    } else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      event.stopImmediatePropagation();
      take(places[active]);
    }
  });
  input.addEventListener("blur", () => {
    clearTimeout(waiting);
    asked += 1;
    close();
  });
}
