"""What billing counts."""

from tenants.metrics import Counter

REFUSALS = Counter(
    "support_chat_limit_refusals",
    "Requests over a limit: hour, visitor (a minute's), answers (at once), budget, or unreachable (nobody can say)",
    ["limit"],
)
