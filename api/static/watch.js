// Looks again every few seconds and shows what is new, leaving the reader where they are. Without scripts the page reloads.
(() => {
  const main = document.getElementById("content");
  const every = 1000 * Number(document.currentScript.dataset.every);
  const spoken = document.createElement("p");
  spoken.className = "visually-hidden";
  spoken.setAttribute("role", "status");
  document.querySelector("footer").append(spoken);
  const look = async () => {
    // Whoever is filling in a form is not interrupted.
    if (document.hidden || main.querySelector("details[open], input:focus, select:focus")) return;
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("content");
    if (!page.querySelector("script[data-every]")) clearInterval(clock);
    if (!fresh || fresh.innerHTML === main.innerHTML) return;
    const focused = main.contains(document.activeElement) ? document.activeElement.outerHTML : "";
    main.replaceChildren(...fresh.childNodes);
    [...main.querySelectorAll("a, button, summary")].find((each) => each.outerHTML === focused)?.focus();
    spoken.textContent = main.querySelector(".note, .badge, .big")?.textContent.trim() ?? "";
  };
  const clock = setInterval(() => look().catch(() => {}), every);
})();
