"""The documents' doors: what is taken in, what is refused and how, and whose documents a caller reaches."""

import base64
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client as Browser
from pytest_django import Settings

from knowledge import documents
from knowledge.models import Chunk, Document, DocumentVersion, Remains
from tenants import keys
from tenants.errors import ApiError
from tenants.models import Client
from tenants.scoping import client_scope, unscoped
from tests.knowledge.files import make_pdf
from tests.knowledge.ingestion import assert_consistent, texts, upload, work

URL = "/api/widget"
TEXT = b"Boots can be returned within 60 days."
pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_data(own_data: Path) -> None: ...


@pytest.fixture
def express(settings: Settings) -> Browser:
    return Browser(headers={"X-Internal-Secret": settings.INTERNAL_API_SECRET})


def body(client: Client | None, **changes: Any) -> dict[str, Any]:
    fields = {
        "documentId": "doc",
        "clientId": str(client.pk) if client else None,
        "fileData": base64.b64encode(TEXT).decode(),
        "fileType": "txt",
        "originalName": "boots.txt",
        "metadata": {"lang": "en"},
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def send(browser: Browser, fields: dict[str, Any]) -> Any:
    return browser.post(f"{URL}/process-document", fields, content_type="application/json")


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


ACCEPTED = {
    "success": True,
    "documentId": "doc",
    "status": "pending",
    "chunksCreated": 0,
    "qdrantPointIds": [],
    "processingTimeMs": 0,
}
WAITING = {
    "documentId": "doc",
    "status": "pending",
    "progress": 0,
    "currentStep": "Waiting",
    "chunksTotal": 0,
    "chunksProcessed": 0,
    "qdrantPointIds": [],
    "errorMessage": None,
}


@pytest.mark.parametrize(
    "file_data",
    [
        base64.b64encode(TEXT).decode(),
        "data:text/plain;base64," + base64.b64encode(TEXT).decode(),
        base64.encodebytes(TEXT).decode(),
    ],
    ids=["base64", "data URL", "base64 in lines"],
)
def test_json_uploads_are_taken_in(express: Browser, acme: Client, stranger: Client, file_data: str) -> None:
    response = send(express, body(acme, fileData=file_data))
    assert (response.status_code, response.json()) == (202, ACCEPTED)
    assert express.get(f"{URL}/documents/doc/status").json() == WAITING
    work()
    done = express.get(f"{URL}/documents/doc/status").json()
    with client_scope(acme.pk):
        (chunk,) = Chunk.objects.all()
    assert done == WAITING | {
        "status": "completed",
        "progress": 100,
        "currentStep": "Ready",
        "chunksTotal": 1,
        "chunksProcessed": 1,
        "qdrantPointIds": [str(chunk.pk)],
    }
    assert texts(acme) == {"doc": [TEXT.decode()]} and texts(stranger) == {}


def test_a_form_with_a_file_is_taken_in(express: Browser, acme: Client) -> None:
    file = SimpleUploadedFile("../../etc/boots.txt", TEXT)
    fields = {"documentId": "doc", "clientId": str(acme.pk), "fileType": "txt", "metadata": '{"a": 1}', "file": file}
    response = express.post(f"{URL}/process-document", fields)
    assert (response.status_code, response.json()) == (202, ACCEPTED)
    with client_scope(acme.pk):
        document = Document.objects.select_related("latest").get()
    assert (document.title, document.metadata) == ("boots.txt", {"a": 1})
    assert document.latest.file.name.startswith(f"{acme.pk}/") and "boots" not in document.latest.file.name


def test_fields_that_say_nothing_are_as_good_as_missing(express: Browser, acme: Client) -> None:
    assert send(express, {**body(acme), "metadata": None, "originalName": None}).status_code == 202
    form = {"documentId": "form", "clientId": str(acme.pk), "fileType": "txt", "metadata": "", "originalName": ""}
    assert (
        express.post(f"{URL}/process-document", form | {"file": SimpleUploadedFile("a.txt", TEXT)}).status_code == 202
    )
    with client_scope(acme.pk):
        assert dict(Document.objects.values_list("title", "external_id")) == {"doc": "doc", "a.txt": "form"}
        assert list(Document.objects.values_list("metadata", flat=True)) == [{}, {}]


def test_a_customers_own_server_uploads_for_itself_only(acme: Client, stranger: Client) -> None:
    server = Browser(headers={"Authorization": f"Bearer {keys.mint(acme.pk, 'secret', scopes=['documents'])[1]}"})
    assert send(server, body(stranger)).status_code == 202  # the body's clientId is ignored
    with unscoped("whose the document is"):
        assert Document.objects.get().client_id == acme.pk
    assert server.get(f"{URL}/documents/doc/status?clientId={stranger.pk}").json() == WAITING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"documentId": None}, (400, "INVALID_REQUEST")),
        ({"documentId": ""}, (400, "INVALID_REQUEST")),
        ({"documentId": "x" * 256}, (400, "INVALID_REQUEST")),
        ({"documentId": "a\0b"}, (400, "INVALID_REQUEST")),
        ({"documentId": "half \ud800"}, (400, "INVALID_REQUEST")),
        ({"clientId": None}, (400, "INVALID_REQUEST")),
        ({"clientId": "nobody"}, (404, "NOT_FOUND")),
        ({"clientId": "00000000-0000-4000-8000-000000000000"}, (404, "NOT_FOUND")),
        ({"fileData": None}, (400, "INVALID_REQUEST")),
        ({"fileData": ""}, (400, "INVALID_REQUEST")),
        ({"fileData": "a"}, (400, "INVALID_REQUEST")),
        ({"fileData": "§§§§"}, (400, "INVALID_REQUEST")),
        ({"fileData": 7}, (400, "INVALID_REQUEST")),
        ({"metadata": [1]}, (400, "INVALID_REQUEST")),
        ({"metadata": {"a": "\0"}}, (400, "INVALID_REQUEST")),
        ({"metadata": {"a": "\udfff"}}, (400, "INVALID_REQUEST")),
        ({"fileType": "exe", "originalName": "boots.exe"}, (415, "UNSUPPORTED_FILE_TYPE")),
        ({"fileType": "pdf", "originalName": "boots.pdf"}, (415, "UNSUPPORTED_FILE_TYPE")),
        ({"fileType": "txt", "fileData": base64.b64encode(make_pdf(["x"])).decode()}, (415, "UNSUPPORTED_FILE_TYPE")),
    ],
)
def test_bad_uploads_are_refused(
    express: Browser, acme: Client, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    response = send(express, body(acme, **changes))
    assert refusal(response) == expected
    assert response.json()["message"] == response.json()["error"]["message"] != ""
    with unscoped("nothing was stored"):
        assert not Document.objects.exists()


def test_what_is_no_json_object_is_refused(express: Browser, acme: Client) -> None:
    for raw in (
        b"{",
        b"[]",
        b"7",
        b'{"documentId": "\xff"}',
        json.dumps(body(acme)).encode()[:-1] + b', "metadata": {"a": 1e999}}',
    ):
        response = express.post(f"{URL}/process-document", raw, content_type="application/json")
        assert refusal(response) == (400, "INVALID_REQUEST"), raw


def test_the_size_limit_counts_decoded_bytes(express: Browser, acme: Client, settings: Settings) -> None:
    settings.MAX_DOCUMENT_BYTES = 1000
    exactly = base64.b64encode(b"a" * 1000).decode()
    over = base64.b64encode(b"a" * 1001).decode()
    assert send(express, body(acme, fileData=exactly)).status_code == 202
    assert refusal(send(express, body(acme, documentId="over", fileData=over))) == (413, "FILE_TOO_LARGE")
    form = {
        "documentId": "over",
        "clientId": str(acme.pk),
        "fileType": "txt",
        "file": SimpleUploadedFile("a.txt", b"a" * 1001),
    }
    assert refusal(express.post(f"{URL}/process-document", form)) == (413, "FILE_TOO_LARGE")


def test_a_request_far_too_large_is_not_even_read(express: Browser, acme: Client, settings: Settings) -> None:
    huge = body(acme, fileData="A" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))
    assert refusal(send(express, huge)) == (413, "FILE_TOO_LARGE")


def test_who_may_not(acme: Client, acme_key: str) -> None:
    for headers in ({}, {"X-Internal-Secret": "wrong"}, {"x-api-key": acme_key}, {"Authorization": "Bearer sk_live_x"}):
        browser = Browser(headers=headers)
        assert refusal(send(browser, body(acme))) == (401, "INVALID_API_KEY")
        assert refusal(browser.get(f"{URL}/documents/doc/status")) == (401, "INVALID_API_KEY")
        assert refusal(browser.delete(f"{URL}/documents/doc")) == (401, "INVALID_API_KEY")
    unscoped_key = Browser(headers={"Authorization": f"Bearer {keys.mint(acme.pk, 'secret', scopes=['chat'])[1]}"})
    assert refusal(send(unscoped_key, body(acme))) == (401, "INVALID_API_KEY")


def test_an_inactive_client_takes_nothing_in(express: Browser, acme: Client) -> None:
    Client.objects.filter(pk=acme.pk).update(status="paused")
    assert refusal(send(express, body(acme))) == (403, "CLIENT_INACTIVE")


@pytest.mark.parametrize(
    "document_id",
    [
        "a/b/c",
        "ümläut ✓ 漢字",
        "x" * 255,
        "é" * 255,
        " spaced ",
        "a%2Fb",
        "x/status",
        "status",
        "a?b#c",
        "line\nbreak",
        "'",
    ],
)
def test_ids_may_be_any_string(express: Browser, acme: Client, document_id: str) -> None:
    assert send(express, body(acme, documentId=document_id)).json() == ACCEPTED | {"documentId": document_id}
    path = f"{URL}/documents/{quote(document_id, safe='/')}"
    assert express.get(f"{path}/status").json() == WAITING | {"documentId": document_id}
    assert express.delete(path).status_code == 204
    assert refusal(express.get(f"{path}/status")) == (404, "NOT_FOUND")


def test_a_strangers_document_is_told_exactly_like_a_missing_one(acme: Client, stranger: Client) -> None:
    upload(stranger, name="theirs")
    work()
    server = Browser(headers={"Authorization": f"Bearer {keys.mint(acme.pk, 'secret', scopes=['documents'])[1]}"})
    for method, path in (("get", "/documents/{}/status"), ("delete", "/documents/{}")):
        answers = []
        for name in ("theirs", "nobodys", "a%00b"):
            trace = "11111111-2222-4333-8444-555555555555"
            response = getattr(server, method)(URL + path.format(name), headers={"X-Request-ID": trace})
            headers = {k: v for k, v in response.headers.items() if k != "Date"}
            answers.append((response.status_code, response.content, headers))
        assert answers[0] == answers[1] == answers[2] and answers[0][0] == 404
    assert texts(stranger) == {"theirs": ["Boots can be returned within 60 days."]}
    assert_consistent(stranger)


def test_express_names_the_client_where_an_id_is_not_enough(express: Browser, acme: Client, stranger: Client) -> None:
    upload(acme)
    upload(stranger)
    assert refusal(express.get(f"{URL}/documents/doc/status")) == (400, "INVALID_REQUEST")
    assert refusal(express.delete(f"{URL}/documents/doc")) == (400, "INVALID_REQUEST")
    assert express.get(f"{URL}/documents/doc/status?clientId={acme.pk}").json() == WAITING
    assert express.delete(f"{URL}/documents/doc?clientId={acme.pk}").status_code == 204
    assert express.get(f"{URL}/documents/doc/status").json() == WAITING  # only the stranger's is left
    assert refusal(express.get(f"{URL}/documents/doc/status?clientId=x")) == (404, "NOT_FOUND")


def test_the_same_bytes_again_do_nothing_new(express: Browser, acme: Client) -> None:
    send(express, body(acme))
    work()
    before = Client.objects.get(pk=acme.pk).knowledge_version
    again = send(express, body(acme)).json()
    assert again == ACCEPTED | {"status": "completed", "chunksCreated": 1, "qdrantPointIds": again["qdrantPointIds"]}
    assert len(again["qdrantPointIds"]) == 1 and work() == 0
    assert Client.objects.get(pk=acme.pk).knowledge_version == before
    with client_scope(acme.pk):
        assert DocumentVersion.objects.count() == 1


def test_what_failed_is_tried_anew_by_the_same_bytes(express: Browser, acme: Client) -> None:
    broken = body(
        acme, fileType="pdf", originalName="x.pdf", fileData=base64.b64encode(b"%PDF-1.7\n" + b"x" * 99).decode()
    )
    send(express, broken)
    assert work() == 1
    assert express.get(f"{URL}/documents/doc/status").json()["status"] == "failed"
    assert send(express, broken).json()["status"] == "pending"


def test_the_quota_counts_documents_not_versions(express: Browser, acme: Client) -> None:
    Client.objects.filter(pk=acme.pk).update(tier="free")
    for number in range(10):
        assert send(express, body(acme, documentId=f"doc {number}")).status_code == 202
    assert refusal(send(express, body(acme, documentId="one more"))) == (402, "QUOTA_EXCEEDED")
    newer = base64.b64encode(b"Something else.").decode()
    assert send(express, body(acme, documentId="doc 3", fileData=newer)).status_code == 202
    assert express.delete(f"{URL}/documents/doc 4").status_code == 204
    assert send(express, body(acme, documentId="one more")).status_code == 202


def at_once(*calls: Any) -> list[Any]:
    """Run the calls in threads that start together; their results, or the ApiErrors' codes."""
    start = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(index: int, call: Any) -> None:
        start.wait()
        try:
            results[index] = call()
        except ApiError as error:
            results[index] = error.code
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@committed
def test_fifty_identical_uploads_at_once_are_one_document(acme: Client, stranger: Client, own_data: Path) -> None:
    versions = at_once(*[lambda: upload(acme).pk] * 50)
    assert len(set(versions)) == 1
    assert work() == 1
    assert texts(acme) == {"doc": ["Boots can be returned within 60 days."]}
    assert_consistent(acme)
    assert len([f for f in (own_data / "files").rglob("*") if f.is_file()]) == 1


@committed
def test_the_quota_holds_under_concurrency(acme: Client) -> None:
    Client.objects.filter(pk=acme.pk).update(tier="free")
    results = at_once(*[lambda n=n: upload(acme, name=f"doc {n}").number for n in range(25)])
    assert sorted(map(str, results)) == ["1"] * 10 + ["QUOTA_EXCEEDED"] * 15


@committed
def test_an_upload_that_is_not_committed_leaves_nothing(
    acme: Client, own_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DocumentVersion, "save", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        upload(acme)
    assert [f for f in (own_data / "files").rglob("*") if f.is_file()] == []
    with client_scope(acme.pk):
        assert not Document.objects.exists()


@committed
def test_a_deletion_erases_rows_points_and_file(
    express: Browser, acme: Client, stranger: Client, own_data: Path
) -> None:
    upload(acme)
    upload(stranger)
    work()
    before = Client.objects.get(pk=acme.pk).knowledge_version
    assert express.delete(f"{URL}/documents/doc?clientId={acme.pk}").status_code == 204
    assert Client.objects.get(pk=acme.pk).knowledge_version == before + 1
    with client_scope(acme.pk):
        rows = (Document.objects.count(), DocumentVersion.objects.count(), Chunk.objects.count())
    assert rows == (0, 0, 0)
    assert_consistent(acme)
    assert [f.parent.name for f in (own_data / "files").rglob("*") if f.is_file()] == [str(stranger.pk)]
    assert texts(stranger) == {"doc": ["Boots can be returned within 60 days."]}
    assert_consistent(stranger)
    with client_scope(acme.pk):
        assert Remains.objects.count() == 1  # erased once more when no run can write any longer
    assert documents.find(stranger.pk, "doc").status == "completed"
