"""The order in which a page is read, by where its groups of lines are."""

from itertools import pairwise

from knowledge.parsers.pdf_shapes import Group

MAX_GROUPS = 1000  # on one page; ordering takes the square of their number


def in_reading_order(groups: list[Group]) -> list[Group]:
    """The order of the content, which programs mostly write as it is read; by columns where it evidently is not."""
    if len(groups) > MAX_GROUPS:
        return groups
    jumps = any(_is_above(later, one) or _is_left(later, one) for one, later in pairwise(groups))
    return _by_place(groups) if jumps else groups


def _is_above(later: Group, one: Group) -> bool:
    """Whether `later` is above `one` in the same column."""
    shared = min(later.right, one.right) - max(later.left, one.left)
    return later.bottom >= one.top - 1 and shared > 0.5 * min(later.right - later.left, one.right - one.left)


def _is_left(later: Group, one: Group) -> bool:
    """Whether `later` is the column to the left of `one`."""
    shared = min(later.top, one.top) - max(later.bottom, one.bottom)
    return later.right <= one.left and shared > 0.5 * min(later.top - later.bottom, one.top - one.bottom)


def _by_place(groups: list[Group]) -> list[Group]:
    """Bands from top to bottom; in a run of bands with a common gutter, the left column before the right."""
    bands = _bands(groups)
    ordered: list[Group] = []
    while bands:
        run, gutter = bands[0], _gutter(bands[0])
        taken = 1
        while taken < len(bands) and (wider := _gutter(run + bands[taken])) is not None:
            run, gutter, taken = run + bands[taken], wider, taken + 1
        bands = bands[taken:]
        if gutter is None:
            ordered += sorted(run, key=lambda group: (-group.top, group.left))
        else:
            ordered += _by_place([group for group in run if not group.left > gutter])  # also one without a place
            ordered += _by_place([group for group in run if group.left > gutter])
    return ordered


def _bands(groups: list[Group]) -> list[list[Group]]:
    """Groups that share some height, together."""
    bands: list[list[Group]] = []
    bottom = float("inf")
    for group in sorted(groups, key=lambda group: -group.top):
        if group.top <= bottom + 1:
            bands.append([])
            bottom = group.bottom
        bands[-1].append(group)
        bottom = min(bottom, group.bottom)
    return bands


def _gutter(groups: list[Group]) -> float | None:
    """An x that no group crosses, with groups on both sides."""
    right = float("-inf")
    for group in sorted(groups, key=lambda group: group.left):
        if right > float("-inf") and group.left > right + 4:
            return right
        right = max(right, group.right)
    return None
