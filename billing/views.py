"""Use and money for the dashboard: internal secret with clientId, or a secret key with the `usage` scope."""

import json
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import hourcount, invoices, payments, plans, usage
from billing.models import Budget, Invoice, InvoiceLine, MonthSpend
from billing.payments import stripe
from billing.serializers import (
    InvoiceSerializer,
    LimitsSerializer,
    UsageQuerySerializer,
    bucket_json,
    figures_json,
    without_costs,
)
from tenants import reports
from tenants.authentication import CallerAuthentication, caller_of
from tenants.callers import Kind, forget_callers, require_scope
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope


class DashboardView(APIView):
    """A view about one client, for who may see its use."""

    authentication_classes = [CallerAuthentication]

    @property
    def sees_costs(self) -> bool:
        """A customer's own server is not told what its answers cost us in models, as its staff at the desk is not."""
        return caller_of(self.request).kind is Kind.INTERNAL

    def client(self, client_id: object) -> Client:
        """The client that the caller acts for; ApiError 401, 403 or 404."""
        caller = caller_of(self.request)
        require_scope(caller, "usage")
        return caller.acting_for(client_id)


class UsageView(DashboardView):
    """GET ?clientId=&from=&to=&granularity=hour|day|month: figures of each hour, day or month with any use."""

    def get(self, request: Request) -> Response:
        client = self.client(request.query_params.get("clientId"))
        query = UsageQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        with client_scope(client.pk):
            buckets = reports.read(usage.series, asked["since"], asked["until"], asked["granularity"])
        totals = usage.totals(buckets)
        if not self.sees_costs:
            buckets, totals = [without_costs(bucket) for bucket in buckets], without_costs(totals)
        return Response(
            {
                "clientId": str(client.pk),
                "from": asked["since"],
                "to": asked["until"],
                "granularity": asked["granularity"],
                "currency": settings.CURRENCY,
                "items": [bucket_json(bucket) for bucket in buckets],
                "totals": figures_json(totals),
            }
        )


class CurrentUsageView(DashboardView):
    """GET ?clientId=: this hour and when it ends, the month to date, and the bill as it would be."""

    def get(self, request: Request) -> Response:
        client = self.client(request.query_params.get("clientId"))
        with client_scope(client.pk):
            return Response({"clientId": str(client.pk), "tier": client.tier, **_current(client, self.sees_costs)})


class InvoicesView(DashboardView):
    """GET ?clientId=: the client's invoices and credit notes with their lines, newest month first."""

    def get(self, request: Request) -> Response:
        client = self.client(request.query_params.get("clientId"))
        with client_scope(client.pk):
            rows = Invoice.objects.select_related("credits").prefetch_related("lines").order_by("-month", "-number")
            return Response({"clientId": str(client.pk), "invoices": InvoiceSerializer(rows, many=True).data})


class LimitsView(DashboardView):
    """PATCH {hardCap, alertThreshold, alertEmail}: any of them; answers with all limits."""

    def patch(self, request: Request, client_id: uuid.UUID) -> Response:
        client = self.client(client_id)
        if client.pk != client_id:
            raise ApiError("NOT_FOUND", "There is no such client.")
        row = Client.objects.get(pk=client_id)  # the caller's copy may be a second old
        change = LimitsSerializer(row, data=request.data, partial=True)
        change.is_valid(raise_exception=True)
        if change.validated_data:
            for name, value in change.validated_data.items():
                setattr(row, name, value)
            row.save(update_fields=list(change.validated_data))
            forget_callers()
        return Response(LimitsSerializer(row).data)


class StripeWebhookView(APIView):
    """POST from Stripe, proved by its signature: marks the events that a meter could not use."""

    authentication_classes: list[Any] = []

    def post(self, request: Request) -> Response:
        body = request.body
        if not stripe.verified(body, request.headers.get("Stripe-Signature", ""), settings.STRIPE_WEBHOOK_SECRET):
            raise ApiError("INVALID_REQUEST", "The signature is missing, wrong or too old.")
        try:
            refused = stripe.refused_events(json.loads(body))
        except (ValueError, AttributeError, TypeError):
            raise ApiError("INVALID_REQUEST", "The body is not a webhook of Stripe.") from None
        for identifier, reason in refused:
            payments.refuse(identifier, reason)
        return Response({"received": True})


def _current(client: Client, costs: bool) -> dict[str, Any]:
    """In the client's scope. `costs`: with what the models cost, and their budget."""
    now = timezone.now()
    hour = usage.bucket_start(now, "hour")
    month = usage.this_month()
    start, _ = usage.month_bounds(month)
    limit, used = plans.hourly_limit(client), hourcount.places(client.pk, hour)
    figures = usage.totals(usage.series(start, now + timedelta(hours=1), "month"))
    return {
        "hour": {
            "start": hour,
            "limit": limit,
            "used": used,
            "remaining": max(0, limit - used),
            "overage": max(0, used - limit),
            "hardCap": plans.refuses_over_limit(client),
            "resetAt": hour + timedelta(hours=1),
        },
        "month": {"start": start, **figures_json(figures if costs else without_costs(figures))},
        "estimatedBill": _estimated_bill(client),
        **({"budget": _budget(figures["cost"])} if costs else {}),
    }


def _estimated_bill(client: Client) -> dict[str, Any]:
    cents = dict.fromkeys(InvoiceLine.Kind.values, 0)
    for line in invoices.lines_of(client, usage.this_month()):
        cents[line.kind] += line.amount_cents
    return {
        "currency": settings.CURRENCY,
        "subscriptionCents": cents[InvoiceLine.Kind.SUBSCRIPTION],
        "overageCents": cents[InvoiceLine.Kind.OVERAGE],
        "totalCents": sum(cents.values()),
    }


def _budget(spent: Decimal) -> dict[str, Any] | None:
    """`spent` is the ledger's; the row that the gate keeps of it begins with the first call under the budget."""
    budget = Budget.objects.first()
    if budget is None:
        return None
    spend = MonthSpend.objects.filter(month=usage.this_month()).first()
    return figures_json({"monthly": budget.monthly, "spent": spent, "held": spend.held if spend else Decimal(0)})
