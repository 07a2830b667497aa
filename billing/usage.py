"""The ledger in figures: UsageHour is derived from it, kept up as it grows, and rebuilt from it at any time.

The ledger only grows, so the number of its rows in an hour tells whether the kept figures of that hour are
up to date (`UsageHour.rows`); no request has to write a second row for them. All hours are UTC.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from billing.models import UsageHour, UsageRecord

LATE = timedelta(hours=24)  # far longer than an answer's row can come after its time (ledger.ABANDONED)
COST = Decimal("0.00000001")  # the places that UsageHour.cost has; SQLite adds up in floats, which have others
BLOCK = 100  # overage is billed per started hundred of an hour

DELIVERED = Q(kind=UsageRecord.Kind.CHAT, failed=False)
EMBEDDED = Q(kind=UsageRecord.Kind.EMBEDDING)
SUMS = {
    "sum_rows": Count("pk"),
    "sum_requests": Count("pk", filter=DELIVERED),
    "sum_overage": Count("pk", filter=DELIVERED & Q(overage=True)),
    "sum_price": Min("overage_cents", filter=DELIVERED & Q(overage=True)),
    "sum_cached": Count("pk", filter=DELIVERED & Q(cached=True)),
    "sum_errors": Count("pk", filter=Q(failed=True)),
    "sum_prompt_tokens": Sum("prompt_tokens", filter=~EMBEDDED, default=0),
    "sum_completion_tokens": Sum("completion_tokens", default=0),
    "sum_cache_read_tokens": Sum("cache_read_tokens", default=0),
    "sum_cache_write_tokens": Sum("cache_write_tokens", default=0),
    "sum_embedding_tokens": Sum("prompt_tokens", filter=EMBEDDED, default=0),
    "sum_cost": Sum("cost", default=Decimal(0)),
}
COUNTED = (
    "requests", "overage", "overage_cents", "cached", "errors", "prompt_tokens", "completion_tokens",
    "cache_read_tokens", "cache_write_tokens", "embedding_tokens", "cost",
)  # fmt: skip
FIGURES = ("rows", *COUNTED, "p50_ms", "p95_ms")


@dataclass(frozen=True)
class Rebuilt:
    """What a comparison of kept and recomputed hours found. `behind`: hours whose ledger had grown since;
    `differences`: hours that were wrong."""

    hours: int
    behind: int
    differences: int


@dataclass(frozen=True)
class Differences:
    """The hours of the ledger recomputed, those kept, and the starts of the `wrong` ones and of those `behind`."""

    fresh: dict[datetime, UsageHour]
    kept: dict[datetime, UsageHour]
    wrong: list[datetime]
    behind: list[datetime]


def started_blocks(overage: int) -> int:
    return -(-overage // BLOCK)


def roll_up() -> int:
    """Bring the scope's UsageHour rows up to the ledger; how many hours were written."""
    hours = _grown()
    _write(_fresh(hours))
    return len(hours)


def last_kept() -> UsageHour | None:
    """The scope's last hour that is kept. Those of days to come are of a clock that was ahead, and say nothing."""
    return UsageHour.objects.filter(date__lte=timezone.now().date()).order_by("-date", "-hour").first()


def differences() -> Differences:
    """Recompute every hour of the scope from the ledger and compare with what is kept."""
    fresh = {row.start: row for row in _recompute(None, None)}
    kept = {row.start: row for row in UsageHour.objects.all()}
    wrong = [s for s in kept if s not in fresh or (kept[s].rows >= fresh[s].rows and not _same(kept[s], fresh[s]))]
    behind = [s for s in fresh if s not in kept or kept[s].rows < fresh[s].rows]
    return Differences(fresh, kept, wrong, behind)


def rebuild(*, write: bool = True) -> Rebuilt:
    """Compare; `write` puts right what differs."""
    found = differences()
    if write:
        UsageHour.objects.filter(pk__in=[found.kept[s].pk for s in found.wrong]).delete()
        _write(found.fresh[s] for s in {*found.wrong, *found.behind} if s in found.fresh)
    return Rebuilt(len(found.fresh), len(found.behind), len(found.wrong))


def series(since: datetime, until: datetime, granularity: str) -> list[dict[str, Any]]:
    """Figures from `since` to before `until`, a dict a bucket ("hour", "day", "month") that has any use.

    Each has "start" and COUNTED; the latencies of an hour only, since percentiles do not add up. Nothing is written:
    hours that are not kept yet, or have grown since, are computed.
    """
    fresh = {row.start: row for row in _fresh({start for start in _grown() if since <= start < until})}
    kept = UsageHour.objects.filter(date__gte=since.date(), date__lte=until.date())
    hours = {row.start: row for row in kept if since <= row.start < until} | fresh
    buckets: dict[datetime, dict[str, Any]] = {}
    for _, row in sorted(hours.items()):
        start = bucket_start(row.start, granularity)
        bucket = buckets.setdefault(
            start, {"start": start, **dict.fromkeys(COUNTED, 0), "p50_ms": None, "p95_ms": None}
        )
        for name in COUNTED:
            bucket[name] += getattr(row, name)
        if granularity == "hour":
            bucket.update(p50_ms=row.p50_ms, p95_ms=row.p95_ms)
    return list(buckets.values())


def totals(buckets: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sum of COUNTED over buckets."""
    buckets = list(buckets)
    return {name: sum((bucket[name] for bucket in buckets), Decimal(0) if name == "cost" else 0) for name in COUNTED}


def bucket_start(at: datetime, granularity: str) -> datetime:
    if granularity == "hour":
        return at.replace(minute=0, second=0, microsecond=0)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if granularity == "day" else day.replace(day=1)


def month_bounds(month: date) -> tuple[datetime, datetime]:
    """First moment of the month that holds `month`, and of the next one (UTC)."""
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    return start, (start + timedelta(days=32)).replace(day=1)


def this_month() -> date:
    return timezone.now().astimezone(UTC).date().replace(day=1)


def percentile(sorted_values: list[int], per_cent: int) -> int | None:
    """The nearest-rank percentile."""
    return sorted_values[-(-len(sorted_values) * per_cent // 100) - 1] if sorted_values else None


def _ledger(since: datetime | None, until: datetime | None = None) -> Any:
    rows = UsageRecord.objects.annotate(start=TruncHour("at", tzinfo=UTC))
    if since is not None:
        rows = rows.filter(at__gte=since)
    return rows if until is None else rows.filter(at__lt=until)


def _grown() -> set[datetime]:
    """The hours whose ledger has other rows than are kept."""
    last = last_kept()
    since = last.start - LATE if last else None
    in_ledger = dict(_ledger(since).values_list("start").annotate(Count("pk")).order_by())
    kept = {row.start: row.rows for row in _kept(since)}
    return {start for start, rows in in_ledger.items() if kept.get(start) != rows}


def _fresh(hours: set[datetime]) -> list[UsageHour]:
    """These hours as the ledger has them, unsaved."""
    return _recompute(min(hours), max(hours) + timedelta(hours=1), only=hours) if hours else []


def _kept(since: datetime | None) -> Any:
    return UsageHour.objects.all() if since is None else UsageHour.objects.filter(date__gte=since.date())


def _recompute(since: datetime | None, until: datetime | None, only: set[datetime] | None = None) -> list[UsageHour]:
    """Unsaved UsageHour rows of the ledger's hours from `since` to before `until`."""
    latencies: dict[datetime, list[int]] = defaultdict(list)
    timed = _ledger(since, until).filter(DELIVERED, latency_ms__isnull=False).order_by("latency_ms")
    for start, latency in timed.values_list("start", "latency_ms").iterator(chunk_size=5000):
        latencies[start].append(latency)
    rows = []
    for row in _ledger(since, until).values("start").annotate(**SUMS).order_by("start"):
        sums = {name.removeprefix("sum_"): value for name, value in row.items()}
        start, price = sums.pop("start"), sums.pop("price") or 0
        if only is not None and start not in only:
            continue
        p50, p95 = (percentile(latencies[start], per_cent) for per_cent in (50, 95))
        cents, sums["cost"] = started_blocks(sums["overage"]) * price, sums["cost"].quantize(COST)
        rows.append(UsageHour(date=start.date(), hour=start.hour, overage_cents=cents, p50_ms=p50, p95_ms=p95, **sums))
    return rows


def _write(rows: Iterable[UsageHour]) -> None:
    UsageHour.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["client", "date", "hour"], update_fields=FIGURES, batch_size=500
    )


def _same(one: UsageHour, other: UsageHour) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in FIGURES)
