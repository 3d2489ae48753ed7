// A switch between light and dark, beside the page; at first it is as the system is. What is chosen is kept nowhere.
"use strict";
(() => {
  const root = document.documentElement;
  const bar = document.createElement("div");
  bar.className = "theme";
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Light or dark");
  const buttons = ["auto", "light", "dark"].map((name) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = name;
    made.addEventListener("click", () => choose(name));
    return made;
  });

  function choose(name) {
    if (name === "auto") delete root.dataset.theme; // charts.js sees it and draws anew
    else root.dataset.theme = name;
    for (const one of buttons) one.setAttribute("aria-pressed", String(one.textContent === name));
  }

  choose("auto");
  bar.append(...buttons);
  const live = document.querySelector("nav.live"); // of a page that a watch serves
  if (live) live.append(bar);
  else document.getElementById("main").before(bar);
})();
