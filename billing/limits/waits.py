"""What is told where a limit of a moment is reached: a visitor's window, or answers at once."""

import math
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from tenants.errors import ApiError


def refused_for(seconds: float, message: str) -> ApiError:
    """RATE_LIMITED that ends after `seconds`. Its details say when (`resetAt`) on every plan: these limits are a
    visitor's or the service's own, so that an upgrade would not help."""
    reset = math.ceil((timezone.now() + timedelta(seconds=seconds)).timestamp())
    return ApiError(
        "RATE_LIMITED",
        message,
        details={"resetAt": moment(datetime.fromtimestamp(reset, UTC))},
        headers={"Retry-After": str(max(1, math.ceil(seconds)))},
    )


def moment(at: datetime) -> str:
    """A moment (UTC) as the wire has it."""
    return at.isoformat().replace("+00:00", "Z")
