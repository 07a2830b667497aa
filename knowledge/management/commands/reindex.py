"""`manage.py reindex`: rebuild vectors from what the database holds."""

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from knowledge.pipeline.reindex import live_versions, reindex
from knowledge.vectors import VectorError


class Command(BaseCommand):
    help = "Rebuild the vectors of every document, of one client or of one document, from the stored passages."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client", metavar="ID", help="only this client's documents (its clientId)")
        parser.add_argument("--document", metavar="ID", help="only the document with this documentId")

    def handle(self, *args: Any, client: str | None, document: str | None, **options: Any) -> None:
        if client and not _is_uuid(client):
            raise CommandError(f"“{client}” is no clientId: manage.py list_clients shows them.")
        versions = live_versions(client, document)
        if not versions:
            if client or document:
                raise CommandError("No such document has been ingested.")
            self.stdout.write("There are no documents yet.")
            return
        done = 0
        with tqdm(total=sum(chunks for _, _, chunks in versions), unit="passage", disable=None) as bar:
            for client_id, version_id, _ in versions:
                try:
                    done += reindex(client_id, version_id, bar.update)
                except VectorError as error:
                    raise CommandError(f"{error} {done} passages were rebuilt; run the command again.") from error
        self.stdout.write(self.style.SUCCESS(f"{done} passages of {len(versions)} documents rebuilt."))


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
