"""`manage.py reindex`: rebuild vectors from what the database holds."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from knowledge.embeddings import EmbeddingError
from knowledge.embeddings.models import wanted_model
from knowledge.management.arguments import client_id
from knowledge.pipeline.reindex import incomplete, live_model, live_versions, move, rebuild
from knowledge.vectors import VectorError


class Command(BaseCommand):
    help = (
        "Rebuild the vectors of every document, of one client or of one document, from the stored passages. "
        "Where EMBEDDING_MODEL or EMBEDDING_DIMENSIONS name another model than the one that answers, all "
        "documents are embedded with it beside the old vectors, and then it answers."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client", type=client_id, metavar="ID", help="only this client's documents (clientId)")
        parser.add_argument("--document", metavar="ID", help="only the document with this documentId")

    def handle(self, *args: Any, client: str | None, document: str | None, **options: Any) -> None:
        wanted, live = wanted_model().key, live_model()
        try:
            if wanted != live and not (client or document):
                self._move(live, wanted)
            else:
                self._rebuild(client, document)
        except KeyboardInterrupt:
            raise CommandError("Stopped. Run the command again to go on.") from None
        except (VectorError, EmbeddingError) as error:
            raise CommandError(f"{error} Run the command again to go on.") from error

    def _move(self, live: str, wanted: str) -> None:
        self.stdout.write(f"From {live} to {wanted}; until the end {live} answers.")
        with _bar(sum(version.chunks for version in incomplete(wanted))) as bar:
            done = move(wanted, bar.update)
        self.stdout.write(self.style.SUCCESS(f"{done} passages embedded; {wanted} answers now."))

    def _rebuild(self, client: str | None, document: str | None) -> None:
        versions = live_versions(client, document)
        if not versions:
            if client or document:
                raise CommandError("No such document has been ingested.")
            self.stdout.write("There are no documents yet.")
            return
        with _bar(sum(version.chunks for version in versions)) as bar:
            done = sum(rebuild(version, progress=bar.update) for version in versions)
        self.stdout.write(self.style.SUCCESS(f"{done} passages of {len(versions)} documents rebuilt."))


def _bar(total: int) -> Any:
    return tqdm(total=total, unit="passage", disable=None)
