"""The desk's lists: each has one name, says what there is in words, and marks what needs a look."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat.models import Session
from config.dashboard import MENU
from knowledge.models import Document, DocumentVersion
from tenants.models import Client, StaffMember
from tenants.scoping import client_scope
from tests.chat.questions_in_vain import ANSWERED, REFUSED, asked
from tests.config.desk import browser_of, furnished


@pytest.fixture
def root(db: None) -> Browser:
    return browser_of("root", is_superuser=True)


def test_a_list_is_called_in_the_menu_what_it_is_called_on_its_page() -> None:
    menu = {view: title for _, items in MENU for title, _, view, _ in items if view.endswith("_changelist")}
    pages = {
        f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist": str(model._meta.verbose_name_plural)
        for model in admin.site._registry
    }
    assert menu == {view: pages[view].capitalize() for view in menu}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("chat/gap/", ["Nothing here yet."]),
        ("chat/gap/?q=boots", ["Nothing matches.", "Show all content gaps"]),
        ("chat/supporthours/", ["Nothing here yet.", "Add support hours"]),
    ],
)
def test_an_empty_list_says_so_and_offers_only_what_there_is(root: Browser, path: str, told: list[str]) -> None:
    page = root.get(f"/admin/{path}").content.decode()
    [empty] = re.findall(r'(?s)<div class="desk desk-empty in-list">(.*?)</div>', page)
    assert [" ".join(part.split()) for part in re.sub("<[^>]+>", "\n", empty).split("\n") if part.strip()] == told


def test_a_documents_status_is_told_in_the_same_words_everywhere(acme: Client, root: Browser) -> None:
    rows = furnished(acme)
    for status in DocumentVersion.Status.values:
        with client_scope(acme.pk):
            DocumentVersion.objects.update(status=status)
            step = DocumentVersion(status=status).step
        shown = root.get("/admin/knowledge/document/").context["cl"].model_admin.state(_document(acme))
        assert shown == (status, step)
        assert step in root.get("/admin/knowledge/document/").content.decode(), status
        assert step in root.get(f"/admin/knowledge/document/{rows[Document].pk}/change/").content.decode(), status


def _document(client: Client) -> Document:
    with client_scope(client.pk):
        return Document.objects.select_related("latest").get()


def test_conversations_are_marked_with_what_went_wrong_in_them(acme: Client, stranger: Client) -> None:
    own = browser_of("own", StaffMember.Role.CLIENT, acme)
    for client in (acme, stranger):
        for kind, values in (("fine", {}), ("down", {"rating": "down"}), ("slow", {"last_token_ms": 9_000})):
            asked(client, kind, ANSWERED, **values)
        asked(client, "refused", REFUSED)
        both = asked(client, "both", "failed")
        with client_scope(client.pk):
            both.session.messages.filter(pk=both.pk).update(rating="down", last_token_ms=9_000)
    assert _marks(own) == {
        "fine": [], "down": ["Thumbs-down"], "slow": ["Slow"], "refused": ["Not answered"],
        "both": ["Thumbs-down", "Error", "Slow"],
    }  # fmt: skip


def _marks(browser: Browser) -> dict[str, list[str]]:
    """The labels of each conversation in the list, by its first question."""
    response: Any = browser.get(reverse("admin:chat_session_changelist"))
    page = response.context["cl"]
    return {row.question: re.findall(r">([^< ][^<]*)<", page.model_admin.signs(row)) for row in page.result_list}


def test_marks_take_no_query_of_their_own_and_no_part_in_counting(acme: Client, root: Browser) -> None:
    asked(acme, "refused", REFUSED)
    with CaptureQueriesContext(connection) as queries:
        assert root.get(reverse("admin:chat_session_changelist")).status_code == 200
    about = [query["sql"] for query in queries if f'FROM "{Session._meta.db_table}"' in query["sql"]]
    assert [("with_refused" in sql, "COUNT(" in sql) for sql in about] == [(False, True), (True, False)]
