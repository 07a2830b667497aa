"""`manage.py qcluster`: Django-Q2's own command, after checks that a cluster needs."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django_q.management.commands.qcluster import Command as QClusterCommand


class Command(QClusterCommand):
    help = "Start the ingestion workers. Needs QDRANT_URL: the embedded vector store belongs to the web process."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.EMBEDDED:
            raise CommandError(
                "A worker needs a Qdrant server: set QDRANT_URL. Without it the vector store lives inside the one "
                "web process, which ingests documents itself."
            )
        super().handle(*args, **options)
