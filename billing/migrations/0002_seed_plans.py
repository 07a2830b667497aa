"""The two tiers as the product starts with them; operators add rows, with dates, to change them."""

from datetime import datetime, timezone

from django.db import migrations

BEGINNING = datetime(2020, 1, 1, tzinfo=timezone.utc)


def seed(apps, schema_editor):
    Plan = apps.get_model("billing", "Plan")
    for tier, requests, overage, documents in (("free", 100, False, 10), ("paid", 1000, True, 100)):
        Plan.objects.get_or_create(
            tier=tier,
            effective_from=BEGINNING,
            defaults={"requests_per_hour": requests, "overage": overage, "documents": documents},
        )


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
