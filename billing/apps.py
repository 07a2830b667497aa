from django.apps import AppConfig
from django.db.models.signals import post_save

# Between runs. Each is also started where its work arises; the time-table finds what was missed.
MINUTES = {"billing.tasks.keep_books": 5, "billing.tasks.send_alerts": 5, "billing.tasks.deliver_billing_events": 5}


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import invoices, payments, plans, subscriptions
        from billing.models import Plan
        from tenants import erasure, timetable
        from tenants.models import Client

        erasure.register_keys("limits", "limits:{CLIENT}:*")  # counts, windows and leases (billing/limits)
        erasure.register_last(invoices.close_last)
        erasure.register_last(payments.close_last)
        timetable.register(MINUTES)
        post_save.connect(subscriptions.on_client_saved, sender=Client)
        post_save.connect(lambda **_: plans.forget(), sender=Plan, weak=False)
