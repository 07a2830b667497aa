"""Small bar charts as inline SVG: nothing is loaded from anywhere, and both themes' colours apply."""

from collections.abc import Callable, Sequence

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

WIDTH, HEIGHT = 360, 130
TOP, BOTTOM, LEFT = 8, 18, 46
UNITS = ((1e9, "bn"), (1e6, "m"), (1e3, "k"))

Part = tuple[str, str, float]  # whose it is, its class in the stylesheet, the value
Bar = tuple[str, Sequence[Part]]  # the day, and what it is made of


def stacks(days: Sequence[Bar], title: str, write: Callable[[float], str]) -> SafeString:
    """One bar a day, made of its parts from the bottom up. `write` says a value in words; a screen reader is told
    the title, a pointer each day's parts. The same figures are in a table on the page."""
    highest = max((sum(value for _, _, value in parts) for _, parts in days), default=0)
    scale = (HEIGHT - TOP - BOTTOM) / highest if highest else 0
    step = (WIDTH - LEFT) / max(len(days), 1)
    floor = HEIGHT - BOTTOM
    drawn = [
        f'<line x1="{LEFT}" y1="{floor}" x2="{WIDTH}" y2="{floor}"/>',
        f'<line x1="{LEFT}" y1="{TOP}" x2="{WIDTH}" y2="{TOP}" stroke-dasharray="2 4"/>',
        _text(LEFT - 6, TOP + 4, short(highest, write), "end"),
        _text(LEFT - 6, floor, short(0, write), "end"),
    ]
    for place, (label, parts) in enumerate(days):
        drawn.append(_bar(LEFT + (place + 0.12) * step, step * 0.76, label, parts, scale, write))
    if days:
        drawn += [_text(LEFT, HEIGHT - 4, days[0][0], "start"), _text(WIDTH, HEIGHT - 4, days[-1][0], "end")]
    body = mark_safe("".join(drawn))  # numbers, and texts that were escaped
    frame = '<svg class="desk-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return format_html(frame, WIDTH, HEIGHT, title, body)


def short(value: float, write: Callable[[float], str]) -> str:
    """A value that fits beside the axis: large ones in thousands, millions or billions."""
    said = write(value)
    if len(said) <= 7:
        return said
    unit, letter = next(((unit, letter) for unit, letter in UNITS if value >= unit), (1, ""))
    return f"{'$' if said.startswith('$') else ''}{value / unit:,.1f}{letter}"


def _bar(x: float, width: float, label: str, parts: Sequence[Part], scale: float, write: Callable[[float], str]) -> str:
    """A day's parts, and the strip above them that makes it easy to point at."""
    said = "\n".join([label, *(f"{whose}: {write(value)}" for whose, _, value in parts)])
    drawn, top = [], float(HEIGHT - BOTTOM)
    for _, name, value in parts:
        height = value * scale
        if height > 0:
            top -= height
            drawn.append(f'<rect class="{name}" {_box(x, top, width, height)}/>')
    reach = f'<rect class="reach" {_box(x, TOP, width, HEIGHT - BOTTOM - TOP)}/>'
    return f"<g><title>{escape(said)}</title>{reach}{''.join(drawn)}</g>"


def _box(x: float, y: float, width: float, height: float) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
