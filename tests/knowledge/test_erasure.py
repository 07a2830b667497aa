"""A deleted client leaves no vector and no file."""

from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from knowledge.models import DocumentVersion
from knowledge.vectors import VectorStore
from tenants import erasure, tasks
from tenants.jobs import JobFailed
from tenants.models import Client, Erasure
from tenants.scoping import client_scope
from tests.contracts.qdrant_server import Refused, Request, small_qdrant
from tests.knowledge.test_search import BOOTS, SECRET, SHIPPING, learn


@pytest.mark.django_db(transaction=True)
def test_vectors_and_files_go_with_their_client(acme: Client, stranger: Client) -> None:
    for client, texts in ((acme, (BOOTS, SHIPPING)), (stranger, (SECRET,))):
        version = learn(client, "returns", *texts)
        with client_scope(client.pk):
            version.file.save("", ContentFile(b"text"))
    erasure.request_erasure(acme.pk)
    receipt = erasure.erase(acme.pk)
    outside = ("vectors", "stored files")
    assert [receipt.before[name] for name in outside] == [2, 1]
    assert [receipt.after[name] for name in outside] == [0, 0]
    assert VectorStore.for_client(stranger.pk).count() == 1
    with client_scope(stranger.pk):
        assert DocumentVersion.objects.get().file.read() == b"text"


@pytest.mark.django_db(transaction=True)
def test_an_erasure_that_the_vector_store_refused_is_taken_up_again_by_itself(
    acme: Client, stranger: Client, settings: Any
) -> None:
    with small_qdrant() as qdrant:
        settings.QDRANT_URL, settings.EMBEDDED = qdrant.url, False
        learn(acme, "returns", BOOTS, SHIPPING)
        learn(stranger, "returns", SECRET)

        def refuse(request: Request) -> None:
            if request.path.endswith("/points/delete"):
                qdrant.tamper = None
                raise Refused(403, "not now")

        qdrant.tamper = refuse
        erasure.run(erasure.request_erasure(acme.pk))
        with pytest.raises(JobFailed):
            run_queued()
        with client_scope(acme.pk):
            assert not DocumentVersion.objects.exists()  # it ended in the middle
        tasks.resume_erasures()
        assert not OrmQ.objects.exists()  # too soon
        Erasure.objects.update(due=timezone.now())
        tasks.resume_erasures()
        tasks.resume_erasures()
        run_queued()
        receipt = Erasure.objects.get()
        assert (receipt.finished is not None, receipt.before["vectors"], receipt.after["vectors"]) == (True, 2, 0)
        assert not any(receipt.after.values()) and list(Client.objects.all()) == [stranger]
        assert VectorStore.for_client(stranger.pk).count() == 1
        Erasure.objects.update(due=timezone.now())
        tasks.resume_erasures()
        assert not OrmQ.objects.exists()


def run_queued() -> None:
    """Do the one job that waits, as a worker does."""
    row = OrmQ.objects.get()
    task = row.task
    row.delete()
    import_string(task["func"])(*task["args"])
