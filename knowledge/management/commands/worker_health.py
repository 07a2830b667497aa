"""`manage.py worker_health`: is ingestion making progress? Exits 1 when not, so that an orchestrator restarts it."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max
from django.utils import timezone

from knowledge.models import DocumentVersion
from knowledge.pipeline.lease import waiting
from tenants.scoping import unscoped

STALLED = timedelta(minutes=2)  # a run shows a sign of life every second; the cluster's own watch acts after 20


class Command(BaseCommand):
    help = "Fail when documents have been waiting for two minutes and no ingestion has moved meanwhile."

    def handle(self, *args: Any, **options: Any) -> None:
        limit = timezone.now() - STALLED
        with unscoped("the health check looks at every client's documents"):
            overdue = DocumentVersion.objects.filter(waiting(), created__lt=limit).count()
            last = DocumentVersion.objects.aggregate(last=Max("heartbeat"))["last"]
        if overdue and (last is None or last < limit):
            raise CommandError(f"{overdue} documents wait and nothing has moved since {last or 'the start'}.")
        self.stdout.write("ok")
