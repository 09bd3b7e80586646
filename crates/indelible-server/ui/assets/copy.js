const said = document.querySelector("[data-said]");

/** Says something to those who listen and, for a moment, to those who look. @param {string} text */
export function say(text) {
  if (!said) return;
  said.textContent = text;
  said.classList.add("shown");
  setTimeout(() => said.classList.remove("shown"), 1600);
}

/** Copies a link. @param {string} href */
export async function copyLink(href) {
  try {
    await navigator.clipboard.writeText(new URL(href, location.href).href);
    say("Link copied");
  } catch {
    say("The browser does not allow copying");
  }
}
