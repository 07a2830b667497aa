"""What this process has counted, for tests that compare before and after."""

from tenants.metrics import REGISTRY

Figures = dict[tuple[str, ...], float]


def figures() -> Figures:
    """(name, label values in the order of their names) -> value, of our own counters that are not 0."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name.startswith("support_chat") and not sample.name.endswith(("_created", "_sum", "_bucket"))
        if sample.value
    }


def gained(before: Figures) -> Figures:
    return {key: value - before.get(key, 0) for key, value in figures().items() if value != before.get(key, 0)}
