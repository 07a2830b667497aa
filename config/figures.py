"""The dashboard's figures: what was used, by client and day, for a period and perhaps one client only.

Use comes from the hourly figures, refusals from the answers themselves: of each only the rows of the period are
read, and only the busiest clients are told apart, so that the page costs the same with five clients or thousands.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import Case, Count, F, Max, Sum, UUIDField, Value, When
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.utils import timezone

from billing.models import UsageHour
from chat.models import Message
from config.charts import Bar, stacks
from tenants import reports, staff
from tenants.desk import CHOOSER_MEDIA, choose_client
from tenants.models import Client

PERIODS, USUAL = (7, 30, 90), 30  # days
CLIENTS_SHOWN = 5  # told apart by colour; the rest are one more
OTHERS = "All other clients"
Figures = dict[str, float]


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.1f} s"


def _dollars(dollars: float) -> str:
    return f"${dollars:,.2f}"


@dataclass(frozen=True)
class Measure:
    """One chart, and one column of the tables. `write` says a value in words."""

    name: str
    head: str
    title: str
    write: Callable[[float], str] = "{:,.0f}".format
    permission: str = ""


MEASURES = (
    Measure("requests", "Answers", "Answers"),
    Measure("cached", "From the cache", "Answers from the cache"),
    Measure("tokens", "Tokens", "Tokens"),
    Measure("cost", "Model cost", "Model cost", _dollars, "tenants.see_costs"),
    Measure("slowest", "Slowest hour", "Slowest hour's 95th percentile", _seconds),
    Measure("errors", "Errors", "Errors"),
    Measure("refused", "Not answered", "Not answered by the documents"),
)
SUMS = {
    "sum_requests": Sum("requests"),
    "sum_cached": Sum("cached"),
    "sum_tokens": Sum(F("prompt_tokens") + F("completion_tokens")),
    "sum_cost": Sum("cost"),
    "sum_slowest": Max("p95_ms"),
    "sum_errors": Sum("errors"),
}


class Filter(forms.Form):
    """Which client, and how many days until today."""

    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="All clients")
    days = forms.TypedChoiceField(choices=[(n, f"Last {n} days") for n in PERIODS], coerce=int, required=False)

    def __init__(self, request: HttpRequest):
        super().__init__(request.GET or {"days": USUAL})
        choose_client(self.fields["client"], request, UsageHour, {"data-placeholder": "All clients"})
        if staff.only_client(request.user):
            del self.fields["client"]

    @property
    def media(self) -> forms.Media:
        return CHOOSER_MEDIA

    def chosen(self) -> tuple[Client | None, int]:
        """What was asked for, as far as it makes sense."""
        self.full_clean()
        client = self.cleaned_data.get("client")
        if client is not None:
            self.fields["client"].widget.known = client
        return client, self.cleaned_data.get("days") or USUAL


@dataclass(frozen=True)
class Line:
    """A client, or all others together, with its figures of each day and of the whole period."""

    name: str
    colour: str
    client_id: uuid.UUID | None
    days: dict[date, Figures]
    total: Figures


def usage(request: HttpRequest) -> dict[str, Any]:
    """What the templates show: "filter", "charts", "lines", "total", "by_day", "heads"."""
    form = Filter(request)
    client, days = form.chosen()
    today = timezone.now().astimezone(UTC).date()
    dates = [today - timedelta(days=days - 1 - n) for n in range(days)]
    lines = reports.read(_lines, dates[0], client)
    may = request.user.has_perm  # type: ignore[union-attr]
    measures = [measure for measure in MEASURES if not measure.permission or may(measure.permission)]
    by_day = {day: _added(line.days.get(day, {}) for line in lines) for day in dates}
    return {
        "filter": form,
        "days": days,
        "heads": [measure.head for measure in measures],
        "charts": [{"title": measure.title, "svg": _chart(measure, lines, dates)} for measure in measures],
        "lines": [(line, _written(measures, line.total)) for line in lines],
        "total": _written(measures, _added(line.total for line in lines)),
        "by_day": [(day, _written(measures, by_day[day])) for day in reversed(dates)],
    }


def _busiest(first: date) -> dict[uuid.UUID, str]:
    """The clients to tell apart, the busiest first, with their names."""
    rows = UsageHour.objects.filter(date__gte=first).values_list("client_id", "client__name")
    top = rows.annotate(answers=Sum("requests")).order_by("-answers", "client_id")[:CLIENTS_SHOWN]
    return {pk: name or "(erased)" for pk, name, _ in top}


def _lines(first: date, only: Client | None) -> list[Line]:
    """The figures since `first` of one client; or of the busiest ones, and of all others together."""
    names = {only.pk: only.name} if only else _busiest(first)
    whose = Case(When(client_id__in=list(names), then=F("client_id")), default=Value(None), output_field=UUIDField())
    used = UsageHour.objects.filter(date__gte=first)
    since = datetime.combine(first, time(), UTC)
    refused = Message.objects.filter(created__gte=since, outcome=Message.Outcome.REFUSED)
    if only:
        used, refused = used.filter(client=only), refused.filter(client=only)
    days: dict[uuid.UUID | None, dict[date, Figures]] = defaultdict(lambda: defaultdict(dict))
    for row in used.order_by().values(whose=whose, day=F("date")).annotate(**SUMS):
        days[row["whose"]][row["day"]] = {name.removeprefix("sum_"): float(row[name] or 0) for name in SUMS}
    by_day = refused.order_by().values(whose=whose, day=TruncDate("created", tzinfo=UTC))
    for row in by_day.annotate(count=Count("pk")):
        days[row["whose"]][row["day"]]["refused"] = row["count"]
    lines = [_line(name, f"c{n}", pk, days[pk]) for n, (pk, name) in enumerate(names.items(), start=1)]
    return [*lines, _line(OTHERS, "c0", None, days[None])] if None in days else lines


def _line(name: str, colour: str, client_id: uuid.UUID | None, days: dict[date, Figures]) -> Line:
    return Line(name, colour, client_id, days, _added(days.values()))


def _added(parts: Any) -> Figures:
    """Figures together: sums, but of the slowest hours the slowest."""
    total: Figures = defaultdict(float)
    for part in parts:
        for name, value in part.items():
            total[name] = max(total[name], value) if name == "slowest" else total[name] + value
    return total


def _chart(measure: Measure, lines: list[Line], dates: list[date]) -> Any:
    bars: list[Bar] = []
    for day in dates:
        parts = [(line.name, line.colour, line.days.get(day, {}).get(measure.name, 0)) for line in lines]
        if measure.name == "slowest":  # percentiles don't add up: the slowest client's is shown
            parts = sorted(parts, key=lambda part: -part[2])[:1]
        bars.append((f"{day.day} {day:%b}", parts))
    return stacks(bars, f"{measure.title} a day", measure.write)


def _written(measures: list[Measure], figures: Figures) -> list[str]:
    return [measure.write(figures.get(measure.name, 0)) for measure in measures]
