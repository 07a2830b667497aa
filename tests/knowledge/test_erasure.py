"""A deleted client leaves no vector and no file."""

import pytest
from django.core.files.base import ContentFile

from knowledge.models import DocumentVersion
from knowledge.vectors import VectorStore
from tenants import erasure
from tenants.models import Client
from tenants.scoping import client_scope
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
