"""The throughput as a bar chart in SVG, drawn without a library: a few bars do not justify a dependency."""

from html import escape

from bench.parts import NAMES
from bench.throughput import SETTINGS

_COLOURS = {
    "site": "#0b6b50",
    "bare_loop": "#5c6773",
    "bare_asgi": "#8b949e",
    "starlette": "#1f5fa8",
    "fastapi": "#3d8bbd",
    "flask": "#8a5a00",
}
_OTHER = "#7b5ea7"
_LEFT, _WIDTH, _BAR, _GAP = 230, 760, 20, 6


def svg(throughput: dict) -> str:
    """One group of bars for each setting, with the ratio to the Flask peer behind each bar."""
    widest = max(found["rate_high"] for servers in throughput.values() for found in servers.values())
    lines, y = [], 10
    for setting in SETTINGS:
        servers = throughput[setting.name]
        lines.append(f'<text x="10" y="{y + 14}" font-weight="600">{escape(setting.title)}</text>')
        y += 26
        for kind, found in servers.items():
            lines += _bar(y, kind, found, found["rate"] / servers["flask"]["rate"], widest)
            y += _BAR + _GAP
        y += 14
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" font-family="system-ui, sans-serif" '
        f'font-size="13" fill="#1c2430" role="img">\n<title>Requests per second</title>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _bar(y: int, kind: str, found: dict, ratio: float, widest: float) -> list[str]:
    scale = (_WIDTH - _LEFT - 150) / widest
    length, low, high = (found[name] * scale for name in ("rate", "rate_low", "rate_high"))
    middle = y + _BAR / 2
    return [
        f'<text x="{_LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(NAMES[kind])}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2" fill="{_COLOURS.get(kind, _OTHER)}"/>',
        f'<line x1="{_LEFT + low:.1f}" x2="{_LEFT + high:.1f}" y1="{middle}" y2="{middle}" stroke="#1c2430"/>',
        f'<text x="{_LEFT + high + 8:.1f}" y="{middle + 4}">{found["rate"]:,.0f}/s, {ratio:.2f} x Flask</text>',
    ]
