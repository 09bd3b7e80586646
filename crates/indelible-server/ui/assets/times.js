const KEY = "indelible.zone";
const two = (/** @type {number} */ number) => String(number).padStart(2, "0");

/** @param {boolean} local */
function show(local) {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const day = time.querySelector(".day");
    const clock = time.querySelector(".clock");
    const exact = time.getAttribute("datetime") ?? "";
    const at = new Date(exact);
    if (!day || !clock || Number.isNaN(at.getTime())) continue;
    const [year, month, date, hours, minutes, seconds] = local
      ? [at.getFullYear(), at.getMonth(), at.getDate(), at.getHours(), at.getMinutes(), at.getSeconds()]
      : [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()];
    day.textContent = `${year}-${two(month + 1)}-${two(date)}`;
    clock.textContent = `${two(hours)}:${two(minutes)}:${two(seconds)}`;
  }
  const name = local ? Intl.DateTimeFormat().resolvedOptions().timeZone || "local" : "UTC";
  for (const zone of document.querySelectorAll("[data-zone]")) zone.textContent = name;
}

/** Shows times in the zone that was chosen last, UTC at first; the exact UTC time stays in the tooltip. */
export function times() {
  let local = localStorage.getItem(KEY) === "local";
  if (local) show(true);
  return {
    get local() {
      return local;
    },
    toggle() {
      local = !local;
      localStorage.setItem(KEY, local ? "local" : "utc");
      show(local);
      return local;
    },
  };
}
