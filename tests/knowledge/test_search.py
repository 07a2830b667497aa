"""Search end to end: real rows, the embedded model and the embedded store, with a stranger's knowledge beside."""

import hashlib

import pytest
from asgiref.sync import async_to_sync

from knowledge.embeddings import get_embedder
from knowledge.models import Chunk, Document, DocumentVersion, chunk_id
from knowledge.search import search
from knowledge.vectors import Point, VectorStore
from tenants.models import Client
from tenants.scoping import client_scope

BOOTS = "Boots can be returned within 60 days if they have not been worn outdoors."
SHIPPING = "Standard shipping takes three to five working days within the country."
SECRET = "Boots of the stranger can be returned within 7 days, to the stranger only."


def learn(client: Client, name: str, *texts: str, number: int = 1) -> DocumentVersion:
    """A live document version with one chunk a text, and its points."""
    with client_scope(client.pk):
        document, _ = Document.objects.get_or_create(external_id=name, defaults={"title": name.title()})
        whole = "\n".join(texts)
        version = DocumentVersion.objects.create(
            document=document, number=number, file_type="txt", original_name=name, size=len(whole),
            sha256=hashlib.sha256(whole.encode()).hexdigest(), status="completed", text=whole,
        )  # fmt: skip
        start = 0
        chunks = []
        for index, text in enumerate(texts):
            pk = chunk_id(client.pk, version.pk, index)
            chunks.append(
                Chunk(id=pk, version=version, index=index, text=text, start=start, end=start + len(text), tokens=9)
            )
            start += len(text) + 1
        Chunk.objects.bulk_create(chunks)
        document.live = document.latest = version
        document.save()
    vectors, _ = get_embedder().embed_passages(texts)
    points = [Point(c.pk, version.pk, c.text, v) for c, v in zip(chunks, vectors, strict=True)]
    VectorStore.for_client(client.pk).upsert(points)
    return version


@pytest.mark.django_db(transaction=True)
def test_finds_the_passage_that_answers(acme: Client, stranger: Client) -> None:
    learn(acme, "returns", BOOTS, SHIPPING)
    learn(stranger, "returns", SECRET)
    passages = async_to_sync(search)(acme.pk, "How long do I have to return boots?")
    assert passages[0].text == BOOTS
    assert passages[0].document_id == "returns"
    assert {p.text for p in passages} <= {BOOTS, SHIPPING}
