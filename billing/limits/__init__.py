"""How much may be used now. The gate is fast and may forget; the books (billing/ledger.py) are exact.

The way of a chat request, every call with the same `client`:

    await admit_visitor(client.pk, session_id, address)     # ApiError RATE_LIMITED; "" = unknown, not limited
    admission = await admit(client)                         # ApiError RATE_LIMITED or SERVICE_UNAVAILABLE
    async with slot(client.pk, visitor):                    # ApiError RATE_LIMITED; held while the answer runs
        with client_scope(client.pk):                       # the transaction that writes the question, last in it:
            ledger.reserve(request_id, client, admission)   #   ApiError RATE_LIMITED or QUOTA_EXCEEDED (budget)
        ...the model speaks...
        with client_scope(client.pk):                       # the transaction that completes the answer, last in it:
            ledger.record(request_id=request_id, usage=usage, prices=prices, latency_ms=ms)
    # no model was reached, or it failed and nothing is billed:
            ledger.release(request_id, error=True or False)
            await withdraw(client, admission)

`admission.headers()` go on every chat response, `await standing(client)` on one to a request that takes no place.
`record()` with `cached=True` is for an answer from the cache; billed as overage is what is delivered over the hour's
limit. `reserve()` repeats the gate's decision exactly, in the database, so nothing that Redis loses (a flush, an
outage, a request between gate and books) admits one request too many; a process that dies between `admit` and
`reserve` costs its client that one place.
"""

from billing.limits.hours import Admission, admit, catch_up, counted, full_hour, refusal, standing, withdraw
from billing.limits.slots import slot
from billing.limits.visitors import admit_visitor
from billing.limits.waits import refused_for

__all__ = [
    "Admission",
    "admit",
    "admit_visitor",
    "catch_up",
    "counted",
    "full_hour",
    "refusal",
    "refused_for",
    "slot",
    "standing",
    "withdraw",
]
