"""The two tiers as data."""

from dataclasses import dataclass

from tenants.models import Client


@dataclass(frozen=True)
class Plan:
    """What a tier includes; `requests_per_hour` counts clock hours in UTC."""

    requests_per_hour: int
    overage: bool
    documents: int


PLANS = {
    Client.Tier.FREE: Plan(requests_per_hour=100, overage=False, documents=10),
    Client.Tier.PAID: Plan(requests_per_hour=1000, overage=True, documents=100),
}


def plan_of(client: Client) -> Plan:
    return PLANS[Client.Tier(client.tier)]


def hourly_limit(client: Client) -> int:
    """Included requests per clock hour: the client's own figure (paid), else the tier's."""
    plan = plan_of(client)
    return client.hourly_limit if plan.overage and client.hourly_limit is not None else plan.requests_per_hour


def refuses_over_limit(client: Client) -> bool:
    """Over the limit, is a request refused (free, hard cap) rather than billed as overage?"""
    return not plan_of(client).overage or client.hard_cap
