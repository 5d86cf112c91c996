// The pledge form: the unit beside the quantity follows the chosen capability. The form works without it.

const capabilities = new Map(
  JSON.parse(document.getElementById("capabilities").textContent).map((row) => [row.name.toLowerCase(), row.unit]),
);
const chosen = document.querySelector("[name=capability]");
const unit = document.querySelector("[data-unit]");

const show = () => {
  const name = capabilities.get(chosen.value.trim().toLowerCase());
  unit.textContent = name ? `Counted in ${name}` : "";
};
chosen.addEventListener("input", show);
show();
