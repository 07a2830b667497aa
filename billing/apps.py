from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save

# Minutes between runs. Each is also started where its work arises; the schedule finds what was missed.
SCHEDULE = {"billing.tasks.keep_books": 5, "billing.tasks.send_alerts": 5, "billing.tasks.deliver_billing_events": 5}


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import plans, subscriptions
        from billing.models import Plan
        from tenants import erasure
        from tenants.models import Client

        erasure.register_keys("limits", "limits:{CLIENT}:*")  # counts, windows and leases (billing/limits)
        post_migrate.connect(schedule_jobs, sender=self)
        post_save.connect(subscriptions.on_client_saved, sender=Client)
        post_save.connect(lambda **_: plans.forget(), sender=Plan, weak=False)


def schedule_jobs(**_: Any) -> None:
    """Enter the jobs in the queue's time-table, once."""
    from django_q.models import Schedule

    for func, minutes in SCHEDULE.items():
        Schedule.objects.get_or_create(
            func=func, defaults={"name": func, "schedule_type": Schedule.MINUTES, "minutes": minutes}
        )
