// Keeps the status on the page up to date without a reload: every few seconds while somebody looks, else once a minute.
"use strict";

(() => {
  const region = document.getElementById("configuration-live");
  const announcement = document.getElementById("configuration-announcement");
  if (!region) {
    return;
  }
  const icon = document.querySelector("link[rel=icon]");
  const outdated = document.getElementById("configuration-outdated");
  const pause = () => Number(region.querySelector("[data-seconds]").dataset.seconds) * 1000;
  const hiddenPause = 60000; // the title and the icon are seen of a tab that is not
  const patience = 10000; // the page itself waits for Consul and Redis for about 4 s at most
  let timer = 0;
  let request = null;

  // What always changes is compared and replaced by itself, so that the rest can stay.
  const takeChanging = (root) =>
    [...root.querySelectorAll("[data-changing]")].map((element) => {
      const inner = element.innerHTML;
      element.replaceChildren();
      return [element.id, inner];
    });

  const putChanging = (parts) => {
    for (const [id, inner] of parts) {
      const element = document.getElementById(id);
      if (element && element.innerHTML !== inner) {
        element.innerHTML = inner;
      }
    }
  };

  // What the browser makes of it, so that what it holds already can be told from what is new.
  const parsed = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    const parts = takeChanging(template.content);
    return [template.innerHTML.trim(), parts];
  };
  let [shown] = parsed(region.innerHTML);

  // What stands below the status is of this version; empty where Consul could not tell.
  const version = () => region.querySelector("[data-version]").dataset.version;
  const loaded = version();

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
    showVerdict();
    outdated.hidden = !version() || version() === loaded;
  };

  // What is seen of a tab among others.
  const showVerdict = () => {
    const verdict = region.querySelector("[data-status=verdict]");
    if (!verdict) {
      return;
    }
    document.title = verdict.dataset.title;
    icon.href = verdict.dataset.icon;
  };

  const lose = (why) => {
    region.classList.add("lost");
    document.title = why;
    icon?.setAttribute("href", "data:,");
    if (announcement.textContent !== why) {
      announcement.textContent = why;
    }
  };

  const regain = () => {
    if (region.classList.contains("lost")) {
      region.classList.remove("lost");
      announcement.textContent = "";
      showVerdict();
    }
  };

  const refresh = async () => {
    const current = new AbortController();
    request = current;
    const limit = setTimeout(() => current.abort("late"), patience);
    try {
      const answer = await fetch(region.dataset.url, { signal: current.signal, redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 403) {
        lose(region.dataset.refused); // the way to the login, or no permission
      } else if (!answer.ok) {
        lose(region.dataset.lost);
      } else {
        const [html, parts] = parsed(await answer.text());
        regain();
        // What is as it was stays: a selection, and where a screen reader is.
        if (html !== shown) {
          shown = html;
          replace(html);
        }
        putChanging(parts);
      }
    } catch {
      if (current.signal.reason === "hidden") {
        return;
      }
      lose(region.dataset.lost);
    } finally {
      clearTimeout(limit);
    }
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, document.hidden ? hiddenPause : pause());
  };

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    request?.abort("hidden");
    if (document.hidden) {
      plan();
    } else {
      refresh();
    }
  });
  plan();
})();
