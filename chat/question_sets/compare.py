"""A run's figures as people read them, beside those of an earlier run."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chat.question_sets.models import EvaluationRun


@dataclass(frozen=True)
class Kind:
    """A figure: its name in `evaluation.figures`, how it is called and explained, and whether more is better."""

    name: str
    label: str
    meaning: str
    unit: str = "share"
    more_is_better: bool = True


KINDS = (
    Kind("recall@1", "Found first", "Recall@1: the first passage found holds what was expected"),
    Kind("recall@5", "Found in five", "Recall@5: one of the first five passages holds what was expected"),
    Kind("mrr", "MRR", "Mean reciprocal rank: 1 when the right passage is always first, 0.5 when second", "number"),
    Kind("citation_precision", "Citations right", "Citation precision: sources of answers that hold what was expected"),
    Kind("citation_recall", "Answers citing it", "Citation recall: answerable questions with a source that holds it"),
    Kind("refusal_precision", "Refusals right", "Refusal precision: refused questions that have no answer indeed"),
    Kind("refusal_recall", "Refused as due", "Refusal recall: questions without an answer that were refused"),
    Kind("latency_p50", "Typical time", "Median time of a whole answer", "seconds", more_is_better=False),
    Kind("latency_p95", "Slowest 5 %", "95th percentile of a whole answer's time", "seconds", more_is_better=False),
    Kind("tokens", "Tokens", "Tokens of all model calls of the run", "count", more_is_better=False),
    Kind("cost", "Cost", "What the models of the run cost", "dollars", more_is_better=False),
    Kind("errors", "Errors", "Questions that got no answer at all", "count", more_is_better=False),
)  # fmt: skip
IN_LISTS = ("recall@5", "mrr", "citation_precision", "refusal_precision", "refusal_recall", "latency_p50", "errors")


def kinds(*, costs: bool) -> list[Kind]:
    """The figures that a person may see."""
    return [kind for kind in KINDS if costs or kind.name != "cost"]


def beside(run: EvaluationRun, earlier: EvaluationRun | None, *, costs: bool) -> list[dict[str, Any]]:
    """For each figure: its label, meaning, value, the earlier one, the change, and whether that is better or worse."""
    return [_line(kind, run.figures, earlier.figures if earlier else {}) for kind in kinds(costs=costs)]


def shown(kind: Kind, figures: Mapping[str, Any]) -> str:
    """A figure for a table; a dash where there is nothing to measure."""
    value = figures.get(kind.name)
    return "–" if value is None else _format(kind.unit, Decimal(str(value)))


def _line(kind: Kind, now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    line = {"label": kind.label, "meaning": kind.meaning, "now": shown(kind, now), "before": shown(kind, before)}
    if now.get(kind.name) is None or before.get(kind.name) is None:
        return line
    change = Decimal(str(now[kind.name])) - Decimal(str(before[kind.name]))
    if not change:
        return {**line, "change": "same"}
    sign = "+" if change > 0 else "−"
    unit = "points" if kind.unit == "share" else kind.unit
    better = (change > 0) == kind.more_is_better
    return {**line, "change": f"{sign}{_format(unit, abs(change))}", "verdict": "good" if better else "bad"}


def _format(unit: str, value: Decimal) -> str:
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "points":
        return f"{100 * value:.1f}"
    if unit == "seconds":
        return f"{value:.2f} s"
    if unit == "dollars":
        return f"${value:.4f}"
    return f"{value:.3f}" if unit == "number" else f"{value:,.0f}"
