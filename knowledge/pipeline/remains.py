"""What is left outside the database of a version whose rows are gone: its points and its file.

`leave` notes them in the transaction that removes the rows, so a death or an outage right after it loses
nothing. They are erased at once, and once more when no run that was under way can have written after that.
"""

from datetime import timedelta

import structlog
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from knowledge.models import DocumentVersion, Remains
from knowledge.vectors import VectorError, VectorStore
from tenants.errors import cause_of
from tenants.scoping import client_scope, unscoped

log = structlog.get_logger(__name__)
MARGIN = timedelta(minutes=1)
AT_ONCE = 100  # a sweep


def leave(version: DocumentVersion, *, with_file: bool = True) -> None:
    """Have a version's points (and its stored file) erased; inside the scope that removes or fails it."""
    remains = Remains.objects.create(
        client_id=version.client_id,
        version_pk=version.pk,
        file_name=version.file.name if with_file and version.file else "",
        due=timezone.now() + timedelta(seconds=settings.INGEST_SECONDS) + MARGIN,
    )
    transaction.on_commit(lambda: _try_to_erase(remains), robust=True)


def sweep() -> int:
    """Erase what is due for the second time, and forget it; how many."""
    with unscoped("remains of all clients are swept by one process"):
        due = list(Remains.objects.filter(due__lte=timezone.now()).order_by("due")[:AT_ONCE])
    erased = [remains for remains in due if _try_to_erase(remains)]
    for remains in erased:
        with client_scope(remains.client_id):
            Remains.objects.filter(pk=remains.pk).delete()
    return len(erased)


def _try_to_erase(remains: Remains) -> bool:
    """False when the store or the disk did not do it; the next sweep tries again."""
    try:
        VectorStore.for_client(remains.client_id).delete_version(remains.version_pk)
        if remains.file_name:
            default_storage.delete(remains.file_name)
    except (VectorError, OSError) as error:
        log.warning("remains could not be erased", version=remains.version_pk, error=cause_of(error))
        return False
    return True
