"""The layout of the page that a browser shows: what no reader would accept, whatever it looks like."""

_SCRIPT = r"""
const found = [], lines = [];
const isRead = (element) =>
  element.checkVisibility({ visibilityProperty: true })
  && !element.closest(".visually-hidden, #configuration-announcement, .skip-to-content-link, select, textarea, script")
  && !(element.closest("thead") && getComputedStyle(element.closest("thead")).clipPath !== "none");
const scrolls = (element) => {
  const region = element.closest(".configuration-scroll");
  return region && region.scrollWidth > region.clientWidth;
};
const hides = (element, box) => {
  const edge = element.getBoundingClientRect();
  const isBeyond = box.right > edge.right + 1 || box.bottom > edge.bottom + 2;
  return isBeyond && getComputedStyle(element).overflowX === "hidden";
};
const said = (node) => node.data.trim().slice(0, 40);
const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (words.nextNode()) {
  const node = words.currentNode, holder = node.parentElement;
  if (!node.data.trim() || !isRead(holder)) continue;
  const range = document.createRange();
  for (const word of node.data.matchAll(/\b[A-Za-z]{2,18}\b/g)) {
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) {
      found.push(`the word "${word[0]}" is broken in ${holder.outerHTML.slice(0, 100)}`);
    }
  }
  range.selectNodeContents(node);
  for (const box of range.getClientRects()) {
    if (box.width > 1) lines.push({ box, node });
    if ((box.right > innerWidth + 1 || box.left < -1) && !scrolls(holder)) found.push(`"${said(node)}" is cut off`);
    for (let outer = holder; outer; outer = outer.parentElement) {
      if (hides(outer, box)) found.push(`"${said(node)}" is cut off by ${outer.outerHTML.slice(0, 100)}`);
    }
  }
}
for (const part of document.querySelectorAll("main :is(input:not([type=hidden]), textarea, button, select)")) {
  if (part.checkVisibility() && part.getBoundingClientRect().right > innerWidth) {
    found.push(`${part.outerHTML.slice(0, 100)} is cut off`);
  }
}
if (document.documentElement.scrollWidth > innerWidth) found.push("the page is wider than its window");
lines.sort((one, other) => one.box.top - other.box.top);
lines.forEach((one, number) => {
  for (const other of lines.slice(number + 1)) {
    if (other.box.top > one.box.bottom - 0.3 * one.box.height) break;
    const isBeside = other.box.left > one.box.right - 2 || one.box.left > other.box.right - 2;
    if (other.node !== one.node && !isBeside) found.push(`"${said(one.node)}" and "${said(other.node)}" overlap`);
  }
});
return [...new Set(found)];
"""
WIDTHS = (360, 768, 1280)  # of a telephone, a tablet and a window


def faults(driver):
    """Words that are broken, texts that are cut off or overlap, at each width and on paper: a list of sentences."""
    found = []
    for width in WIDTHS:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 768}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        found += [f"{width} px: {fault}" for fault in driver.execute_script(_SCRIPT)]
    return found
