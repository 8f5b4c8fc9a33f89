"use strict";
const filters = document.getElementById("filters");
const search = filters.querySelector("input");
const buttons = [...filters.querySelectorAll("button")];
const articles = [...document.querySelectorAll("article")];
const count = document.getElementById("count");
function apply() {
  const wanted = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.cause);
  const text = search.value.toLowerCase();
  let shown = 0;
  for (const article of articles) {
    const causes = article.dataset.causes.split(" ");
    const fits = (wanted.length === 0 || wanted.some((cause) => causes.includes(cause)))
      && article.dataset.path.toLowerCase().includes(text);
    article.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  count.textContent = shown + " of " + articles.length + " shown";
}
for (const button of buttons) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    apply();
  });
}
search.addEventListener("input", apply);
// report.html#embedded-time,owner opens with these causes chosen.
const named = decodeURIComponent(location.hash.slice(1)).split(",");
for (const button of buttons) {
  if (named.includes(button.dataset.cause)) button.setAttribute("aria-pressed", "true");
}
filters.hidden = false;
apply();
