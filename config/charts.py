"""Small bar charts as inline SVG: nothing is loaded from anywhere, and both themes' colours apply."""

from collections.abc import Callable, Sequence

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

WIDTH, HEIGHT = 360, 130
TOP, BOTTOM, LEFT = 8, 18, 42


def bars(
    days: Sequence[tuple[str, float, float]], title: str, write: Callable[[float], str] = lambda value: f"{value:,.0f}"
) -> SafeString:
    """One bar a day; `days` holds (label, value, part of it in a second colour). `write` says a value in words."""
    highest = max((value for _, value, _ in days), default=0)
    scale = (HEIGHT - TOP - BOTTOM) / highest if highest else 0
    step = (WIDTH - LEFT) / max(len(days), 1)
    floor = HEIGHT - BOTTOM
    parts = [
        f'<line x1="{LEFT}" y1="{floor}" x2="{WIDTH}" y2="{floor}"/>',
        f'<line x1="{LEFT}" y1="{TOP}" x2="{WIDTH}" y2="{TOP}" stroke-dasharray="2 4"/>',
        _text(LEFT - 6, TOP + 4, write(highest), "end"),
        _text(LEFT - 6, floor, write(0), "end"),
    ]
    for place, (label, value, second) in enumerate(days):
        x = LEFT + place * step + step * 0.12
        said = f"{label}: {write(value)}" + (f", of which {write(second)}" if second else "")
        parts.append(f"<g><title>{escape(said)}</title>{_bar(x, step * 0.76, value * scale, floor, 'bar')}")
        parts.append(f"{_bar(x, step * 0.76, second * scale, floor, 'second')}</g>")
    if days:
        parts += [_text(LEFT, HEIGHT - 4, days[0][0], "start"), _text(WIDTH, HEIGHT - 4, days[-1][0], "end")]
    body = mark_safe("".join(parts))  # numbers, and texts that were escaped
    frame = '<svg class="desk-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return format_html(frame, WIDTH, HEIGHT, title, body)


def _bar(x: float, width: float, height: float, floor: int, name: str) -> str:
    if height <= 0:
        return ""
    place = f'x="{x:.1f}" y="{floor - height:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{name}" {place} rx="1.5"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
