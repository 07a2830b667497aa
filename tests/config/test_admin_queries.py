"""No page of the desk asks the database more than it may, however many rows there are."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import plans
from chat.models import Message, Session
from knowledge.models import Chunk, Document, DocumentVersion
from tenants.desk import StoppingPaginator
from tenants.models import ApiKey, AuditEvent, Client, StaffMember
from tenants.scoping import client_scope, unscoped
from tests.config.desk import MOST_QUERIES, browser_of, every_page, furnished, furnished_many

DEAREST = {
    "index",
    "tenants_client_change",
    "knowledge_document_change",
    "chat_session_change",
    "billing_invoice_change",
    "chat_gap_changelist",
    "chat_gap_change",
    "chat_questionset_change",
    "chat_evaluationrun_change",
    "chat_session_live",
}
MANY = 300


def filled(acme: Client, count: int) -> Any:
    """Acme's rows; many more of what its own pages show; and as many other clients."""
    rows = furnished(acme)
    furnished_many(count)
    with client_scope(acme.pk):
        session, version = rows[Session], rows[DocumentVersion]
        said = {"client": acme, "session": session, "role": "visitor", "text": "x"}
        Message.objects.bulk_create(Message(**said, trace_id=_uuid(n)) for n in range(count))
        Chunk.objects.bulk_create(
            Chunk(id=_uuid(n), client=acme, version=version, index=99 + n, text="t", start=0, end=1, tokens=1)
            for n in range(count)
        )
        Document.objects.bulk_create(
            Document(client=acme, external_id=f"d{n}", title="t", latest=version) for n in range(count)
        )
        ApiKey.objects.bulk_create(ApiKey(client=acme, kind="publishable", digest=f"d{n}") for n in range(count))
    with unscoped("the test writes of nobody's rows"):
        AuditEvent.objects.bulk_create(AuditEvent(actor="a", action="view") for _ in range(count))
    return rows


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def too_many(browser: Browser, paths: list[str]) -> dict[str, int]:
    """The pages that took more than MOST_QUERIES statements, savepoints and all, with how many."""
    taken = {}
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            status = browser.get(path).status_code
        if status == 200:
            taken[path] = len(queries)
    return {path: count for path, count in taken.items() if count > MOST_QUERIES}


@pytest.mark.parametrize("count", [1, MANY])
def test_no_page_takes_more_queries_than_it_may(acme: Client, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = filled(acme, count)
    monkeypatch.setattr(plans, "REMEMBER_SECONDS", 3600)  # read once in 30 seconds for all pages, so by none of them
    plans.load()
    pages = every_page(rows, acme)
    dearest = [page.path for page in pages if page.name in DEAREST]
    lists = [page.path for page in pages if page.name.endswith("_changelist")]
    everything = [
        *(page.path for page in pages),
        *(f"{path}?q=canary" for path in lists),
        *(f"{path}?client__id__exact={acme.pk}" for path in lists),
        f"{reverse('admin:index')}?client={acme.pk}&days=90",
        f"{reverse('admin:knowledge_document_progress')}?version={rows[DocumentVersion].pk}",
        f"{reverse('admin:knowledge_document_add')}?client={acme.pk}",
        f"{reverse('admin:knowledge_document_changelist')}?status=failed",
        f"{reverse('admin:chat_session_changelist')}?with=refused",
    ]
    assert too_many(browser_of("root", is_superuser=True), everything if count == MANY else dearest) == {}
    for role in StaffMember.Role.values:  # a role takes three more
        browser = browser_of(role, role, acme if role == StaffMember.Role.CLIENT else None)
        assert too_many(browser, dearest) == {}, role


def test_no_list_counts_what_its_filters_would_find(acme: Client) -> None:
    pages = every_page(furnished(acme), acme)
    browser = browser_of("root", is_superuser=True)
    lists = [page.path for page in pages if page.name.endswith("_changelist")]
    assert {path for path in lists if _asked(browser, path) != _asked(browser, f"{path}?_facets=True")} == set()
    assert [path for path in lists if b"Show counts" in browser.get(path).content] == []


def _asked(browser: Browser, path: str) -> tuple[int, int]:
    """The answer's status, and how many statements it took."""
    with CaptureQueriesContext(connection) as queries:
        return browser.get(path).status_code, len(queries)


def test_a_list_is_not_counted_to_its_end(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    furnished_many(30)
    monkeypatch.setattr(StoppingPaginator, "MOST", 10)
    with unscoped("the test looks at everything"):
        pages = StoppingPaginator(Document.objects.all(), 5)
        with CaptureQueriesContext(connection) as queries:
            assert (pages.count, pages.stopped) == (10, True)
    assert ["LIMIT 10)" in query["sql"] for query in queries] == [True]
    shown = browser_of("root", is_superuser=True).get("/admin/knowledge/document/").content.decode()
    assert "the first 10 documents" in shown
