import { copyLink } from "./copy.js";

const rows = () => /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".row[data-href]")]);
const current = () => /** @type {HTMLElement | null} */ (document.querySelector(".row.current"));

/** @param {number} step */
function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(/** @type {HTMLElement} */ (current()));
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  current()?.classList.remove("current");
  next.classList.add("current");
  next.querySelector("a.open")?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

/** @param {string | null | undefined} href */
function go(href) {
  if (href) location.assign(href);
}

/** Adds keys for those who would rather not reach for the mouse. @param {{ toggle: () => boolean }} zone */
export function keys(zone) {
  const search = document.querySelector("#q");
  const help = document.querySelector("[data-help]");
  for (const hint of document.querySelectorAll("[data-keys]")) hint.hidden = false;
  /** @type {Record<string, () => void>} */
  const actions = {
    "/": () => (search instanceof HTMLInputElement ? (search.focus(), search.select()) : go("/events")),
    j: () => move(1),
    k: () => move(-1),
    Escape: () => current()?.classList.remove("current"),
    "[": () => go(document.querySelector("a[rel=prev]")?.getAttribute("href")),
    "]": () => go(document.querySelector("a[rel=next]")?.getAttribute("href")),
    i: () => go(current()?.dataset.include),
    x: () => go(current()?.dataset.exclude),
    o: () => go(current()?.dataset.object),
    a: () => go(current()?.dataset.actor),
    r: () => go(current()?.dataset.request),
    c: () => copyLink(current()?.dataset.href ?? location.href),
    z: () => {
      const local = zone.toggle();
      document.querySelector("[data-zone-switch]")?.setAttribute("aria-pressed", String(local));
    },
    "?": () => help instanceof HTMLDialogElement && help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = event.target;
    const writes = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
    if (writes) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target instanceof Element ? event.target.closest(".row[data-href]") : null;
    if (row && row !== current()) {
      current()?.classList.remove("current");
      row.classList.add("current");
    }
  });
}
