// Makes the settings easier to read: a filter that narrows them as one types, and buttons that copy a key or a value.
"use strict";

(() => {
  const section = document.getElementById("settings");
  const filter = document.getElementById("settings-filter");
  const field = filter.querySelector("input");
  const found = filter.querySelector("output");
  const unset = document.getElementById("settings-unset");
  const copied = document.getElementById("settings-copied");
  const copyButton = document.getElementById("settings-copy").content.firstElementChild;
  const groups = [...section.querySelectorAll("[data-group]")];
  const rows = [...section.querySelectorAll("[data-setting]")];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const doneMilliseconds = 2000;
  let isNarrowed = false;
  let wasOpen = false;
  let timer = 0;

  const filled = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  // The rows that have all the words; "Not set" is open while it has one of them, and afterwards as it was before.
  const narrow = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
    });
    groups.forEach((group) => {
      group.hidden = !group.querySelector("[data-setting]:not([hidden])");
    });
    const count = rows.filter((row) => !row.hidden).length;
    found.textContent = words.length ? filled(section.dataset.found, { count, total: rows.length }) : "";
    unfold(words.length > 0);
  };

  const unfold = (isNarrow) => {
    if (unset && isNarrow) {
      wasOpen = isNarrowed ? wasOpen : unset.open;
      unset.open = !unset.hidden;
    } else if (unset && isNarrowed) {
      unset.open = wasOpen;
    }
    isNarrowed = isNarrow;
  };

  // Over plain HTTP a page has no access to the clipboard but through a selection.
  const write = async (text) => {
    if (navigator.clipboard) {
      return navigator.clipboard.writeText(text);
    }
    const area = document.createElement("textarea");
    const focused = document.activeElement;
    area.value = text;
    area.className = "visually-hidden";
    section.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    focused.focus({ preventScroll: true });
    if (!isDone) {
      throw new Error("refused");
    }
  };

  const copy = async (button, text, setting) => {
    const { dataset } = section;
    const isDone = await write(text).then(() => true, () => false);
    forget();
    button.classList.toggle("done", isDone);
    copied.textContent = filled(isDone ? dataset.copied : dataset.uncopied, { setting });
    timer = setTimeout(forget, doneMilliseconds);
  };

  const forget = () => {
    clearTimeout(timer);
    section.querySelector(".copy.done")?.classList.remove("done");
    copied.textContent = ""; // or the same sentence could not be said again
  };

  section.querySelectorAll("[data-copy]").forEach((source) => {
    const { setting } = source.closest("[data-setting]").dataset;
    const button = copyButton.cloneNode(true);
    const { copyKey, copyValue } = section.dataset;
    button.title = filled(source.dataset.copy === "key" ? copyKey : copyValue, { setting });
    button.setAttribute("aria-label", button.title);
    button.addEventListener("click", () => copy(button, source.textContent, setting));
    source.after(button);
  });

  field.addEventListener("input", narrow);
  filter.hidden = false;
  narrow(); // a browser may have kept what was typed
})();
