"""Stripe: amounts as meter events in cents, credit notes as customer balance, webhooks verified.

A meter of Stripe sums the cents that we send, and a price of one cent per unit bills them, so that one meter
serves every kind of line. Plain HTTP: two calls need no SDK.
"""

import hashlib
import hmac
import time
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2
from django.conf import settings
from django.utils import timezone

from billing.models import BillingEvent
from billing.payments import NotAccepted, PaymentError

TIMEOUT = 10.0  # seconds for the whole call
LATEST = timedelta(days=34)  # Stripe refuses timestamps of more than 35 days ago; without one it takes the present
TOLERANCE = 300  # seconds; Stripe's own figure for the age of a webhook's signature


class Stripe:
    """Submits events over Stripe's HTTP interface with the key and address of the settings."""

    def submit(self, event: BillingEvent, customer_id: str) -> None:
        cents = event.line.amount_cents
        if cents < 0:
            self._post(
                f"/v1/customers/{quote(customer_id, safe='')}/balance_transactions",
                {
                    "amount": cents,
                    "currency": event.line.invoice.currency.lower(),
                    "description": event.line.description,
                },
                event.identifier,
            )
            return
        issued = event.line.invoice.issued
        meter = {
            "event_name": settings.STRIPE_METER,
            "identifier": event.identifier,
            **({"timestamp": int(issued.timestamp())} if timezone.now() - issued < LATEST else {}),
            "payload[stripe_customer_id]": customer_id,
            "payload[value]": cents,
        }
        self._post("/v1/billing/meter_events", meter, event.identifier)

    def _post(self, path: str, form: dict[str, Any], idempotency_key: str) -> None:
        headers = {"Authorization": f"Bearer {settings.STRIPE_API_KEY}", "Idempotency-Key": idempotency_key}
        try:
            response = httpx2.post(settings.STRIPE_BASE_URL + path, data=form, headers=headers, timeout=TIMEOUT)
        except httpx2.HTTPError as error:
            raise PaymentError(f"Stripe did not answer ({type(error).__name__}).", transient=True) from error
        if response.is_success:
            return
        message = f"Stripe answered {response.status_code}: {_message(response)}"
        if response.status_code in (401, 403):  # the key is wrong, expired or restricted
            raise NotAccepted(message)
        # 409: the same key is being worked on at this moment; 429 and 5xx pass.
        transient = response.status_code in (409, 429) or response.status_code >= 500
        raise PaymentError(message, transient=transient)


def verified(body: bytes, signature: str, secret: str, now: float | None = None) -> bool:
    """Is `Stripe-Signature` (`t=...,v1=...`) ours over this body, and fresh? Several v1 mean a secret in rotation."""
    pairs = [part.split("=", 1) for part in signature.split(",") if "=" in part]
    stamps = [value for name, value in pairs if name.strip() == "t"]
    if not secret or len(stamps) != 1 or not stamps[0].isdecimal():
        return False
    expected = hmac.new(secret.encode(), stamps[0].encode() + b"." + body, hashlib.sha256).hexdigest()
    matches = [hmac.compare_digest(expected.encode(), v.encode()) for name, v in pairs if name.strip() == "v1"]
    return any(matches) and abs((now or time.time()) - int(stamps[0])) <= TOLERANCE


def refused_events(webhook: dict[str, Any]) -> list[tuple[str, str]]:
    """(identifier, reason) of each event that a meter's error report names; [] for any other webhook."""
    if webhook.get("type") != "v1.billing.meter.error_report_triggered":
        return []
    found = []
    for kind in webhook.get("data", {}).get("reason", {}).get("error_types", []):
        for sample in kind.get("sample_errors", []):
            if identifier := sample.get("request", {}).get("identifier"):
                found.append((str(identifier), str(sample.get("error_message") or kind.get("code"))))
    return found


def _message(response: httpx2.Response) -> str:
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
