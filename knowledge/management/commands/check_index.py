"""`manage.py check_index`: do rows, points and files agree?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from knowledge.embeddings import EmbeddingError
from knowledge.management.arguments import client_id
from knowledge.pipeline.compare import Comparison, compare, repair
from knowledge.vectors import VectorError
from tenants.models import Client


class Command(BaseCommand):
    help = "Compare passages with the points in the index and with the stored files; exits 1 when they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client", type=client_id, metavar="ID", help="only this client (its clientId)")
        parser.add_argument("--repair", action="store_true", help="embed what is missing, remove what is surplus")

    def handle(self, *args: Any, client: Any, repair: bool, **options: Any) -> None:
        clients = Client.objects.order_by("name", "pk")
        if client:
            clients = clients.filter(pk=client)
            if not clients:
                raise CommandError("There is no such client.")
        try:
            found = [self._check(each, repair) for each in clients]
        except (VectorError, EmbeddingError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{sum(f.rows for f in found)} passages, {sum(f.points for f in found)} points")
        if not all(f.agrees for f in found):
            raise CommandError("They differ: run the command with --repair.")

    def _check(self, client: Client, repairs: bool) -> Comparison:
        found = compare(client.pk)
        if not found.agrees:
            self.stdout.write(
                f"{client.name}: {len(found.missing)} points missing, {len(found.surplus)} surplus, "
                f"{len(found.stray_files)} files of no document"
            )
            if repairs:
                repair(found)
                found = compare(client.pk)
        return found
