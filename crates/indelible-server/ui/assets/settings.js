const DENSITY = "indelible.density";
const root = document.documentElement;

/** @param {string} text @param {string} title @param {() => boolean} toggle @param {boolean} pressed */
function button(text, title, toggle, pressed) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.textContent = text;
  made.title = title;
  made.setAttribute("aria-pressed", String(pressed));
  made.addEventListener("click", () => made.setAttribute("aria-pressed", String(toggle())));
  return made;
}

/** Puts the switches for density and time zone into the header. @param {{ local: boolean, toggle: () => boolean }} zone */
export function settings(zone) {
  const compact = localStorage.getItem(DENSITY) === "compact";
  root.classList.toggle("compact", compact);
  const place = document.querySelector("[data-settings]");
  if (!(place instanceof HTMLElement)) return;
  const dense = () => {
    const now = root.classList.toggle("compact");
    localStorage.setItem(DENSITY, now ? "compact" : "comfortable");
    return now;
  };
  const local = button("Local time", "Times in the zone of this computer (z)", zone.toggle, zone.local);
  local.dataset.zoneSwitch = "";
  place.append(button("Compact", "Closer rows", dense, compact), local);
  place.hidden = false;
}
