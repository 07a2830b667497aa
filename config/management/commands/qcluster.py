"""`manage.py qcluster`: the workers, watched (knowledge/cluster.py)."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django_q.management.commands.qcluster import Command as QClusterCommand

from config import metrics
from knowledge.cluster import Supervisor, cluster_command, end_with_supervisor, preload, settings_errors


class Command(QClusterCommand):
    help = "Start the workers and keep them running. Needs QDRANT_URL: the embedded store belongs to the web process."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--unwatched", action="store_true", help="the cluster alone; it ends with its standard input"
        )

    def handle(self, *args: Any, unwatched: bool, **options: Any) -> None:
        if errors := settings_errors():
            raise CommandError("\n".join(errors))
        if options.get("run_once"):
            super().handle(*args, **options)
        elif unwatched:
            preload()
            end_with_supervisor()
            super().handle(*args, **options)
        else:
            with metrics.of_cluster():
                Supervisor(cluster_command()).run()
