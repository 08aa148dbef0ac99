// Shows each moment by the visitor's own clock, and how long ago that was; what the server wrote, in UTC, is its tooltip.
"use strict";

(() => {
  const language = document.documentElement.lang || undefined;
  const today = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" });
  const before = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  const distance = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const units = [["year", 31556952], ["month", 2629746], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const everySeconds = 10;

  const ago = (milliseconds) => {
    const seconds = Math.trunc(milliseconds / 1000);
    const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units.at(-1);
    return distance.format(-Math.trunc(seconds / length), unit);
  };

  const show = () => {
    const now = new Date();
    for (const time of document.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) {
        time.title ||= time.textContent;
        const isToday = at.toDateString() === now.toDateString();
        time.textContent = `${(isToday ? today : before).format(at)} (${ago(now - at)})`;
      }
    }
  };

  show();
  setInterval(show, 1000 * everySeconds);
  const region = document.getElementById("configuration-live");
  if (region) {
    new MutationObserver(show).observe(region, { childList: true });
  }
})();
