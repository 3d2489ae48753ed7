// What a link or a printer asks for is opened first; all else of the page needs no script.
"use strict";
(() => {
  const opened = () => {
    const named = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
    const holder = named && named.closest("details");
    if (holder) holder.open = true;
  };
  addEventListener("hashchange", opened);
  opened();
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
    closed = [];
  });
})();
