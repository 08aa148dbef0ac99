// Keeps the status on the page up to date without a reload. Asks only while somebody looks.
"use strict";

(() => {
  const region = document.getElementById("configuration-live");
  const announcement = document.getElementById("configuration-announcement");
  if (!region) {
    return;
  }
  const pause = Number(region.dataset.seconds) * 1000;
  let timer = 0;
  let request = null;

  // What a screen reader is told: only lines whose state has changed, not every refresh.
  const states = () =>
    new Map([...region.querySelectorAll("[data-status]")].map((line) => [line.dataset.status, line]));

  const announceChanges = (before) => {
    const changed = [...states()].filter(([name, line]) => before.get(name)?.className !== line.className);
    if (changed.length) {
      announcement.textContent = changed.map(([, line]) => line.textContent.replace(/\s+/g, " ").trim()).join(". ");
    }
  };

  const replace = (html) => {
    const before = states();
    const open = [...region.querySelectorAll("details[open]")].map((details) => details.id);
    const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
    region.innerHTML = html;
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    if (focused) {
      document.getElementById(focused)?.focus({ preventScroll: true });
    }
    announceChanges(before);
  };

  const lose = () => {
    region.classList.add("lost");
    announcement.textContent = region.dataset.lost;
  };

  const refresh = async () => {
    request = new AbortController();
    try {
      const answer = await fetch(region.dataset.url, { signal: request.signal, redirect: "error" });
      if (!answer.ok) {
        throw new Error(answer.statusText);
      }
      const html = await answer.text();
      if (region.classList.contains("lost")) {
        region.classList.remove("lost");
        announcement.textContent = "";
      }
      replace(html);
    } catch (error) {
      if (error.name !== "AbortError") {
        lose();
      }
    }
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    timer = document.hidden ? 0 : setTimeout(refresh, pause);
  };

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    request?.abort();
    if (!document.hidden) {
      refresh();
    }
  });
  plan();
})();
