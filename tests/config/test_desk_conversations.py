"""Conversations at the desk: found, read, exported, erased with a receipt; each person's own clients' only."""

import csv
import io
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import UsageRecord
from chat.admin import conversations
from chat.models import Contact, Message, Session, SessionErasure
from tenants.models import Client, StaffMember
from tenants.scoping import client_scope
from tenants.visitors import session_token
from tests.chat.questions_in_vain import ANSWERED, REFUSED, asked
from tests.config.desk import MOST_QUERIES, audited, browser_of

LIST = "/admin/chat/session/"
SOURCES = [{"documentId": "d", "title": "Returns", "excerpt": "within 60 days", "page": 2, "chunkIndex": 0, "score": 1}]
AT = datetime(2026, 11, 3, 14, 5, tzinfo=UTC)


@pytest.fixture
def told(acme: Client, stranger: Client) -> dict[str, Message]:
    """One conversation of each kind; the stranger's are alike."""
    found = {}
    for client in (stranger, acme):
        found = {
            "fine": asked(client, "May boots be returned?", ANSWERED, at=AT, sources=SOURCES, model="gpt-4o-mini",
                          prompt_tokens=800, completion_tokens=90, first_token_ms=300, last_token_ms=1200),
            "refused": asked(client, "Do you ship to Norway?", REFUSED),
            "down": asked(client, "Are tents repaired?", ANSWERED, rating="down", comment="=wrong, said Ann"),
            "failed": asked(client, "Is it open?", "failed", error_code="LLM_ERROR", text=""),
            "slow": asked(client, "Who made it?", ANSWERED, last_token_ms=9_000),
        }  # fmt: skip
    return found


def sessions(browser: Browser, query: str) -> set[int]:
    """The conversations that the list shows."""
    response = browser.get(LIST + query)
    assert response.status_code == 200
    return {row.pk for row in response.context["cl"].result_list}


@pytest.fixture
def sue(db: None) -> Browser:
    return browser_of("sue", StaffMember.Role.SUPPORT)


@pytest.fixture
def own(acme: Client) -> Browser:
    """One of Acme's own people."""
    return browser_of("own", StaffMember.Role.CLIENT, acme)


@pytest.mark.parametrize("kind", ["refused", "down", "failed", "slow"])
def test_the_filters_find_what_went_wrong(told: dict[str, Message], own: Browser, kind: str) -> None:
    assert sessions(own, f"?with={kind}") == {told[kind].session_id}


@pytest.mark.parametrize("kind", ["refused", "down", "failed", "slow"])
def test_messages_are_filtered_alike(told: dict[str, Message], own: Browser, kind: str) -> None:
    found = own.get(f"/admin/chat/message/?with={kind}").context["cl"].result_list
    assert [message.pk for message in found] == [told[kind].pk]


def test_search_finds_words_and_whole_ids_of_ones_own_clients(
    told: dict[str, Message], own: Browser, sue: Browser, acme: Client
) -> None:
    refused = told["refused"]
    assert sessions(own, "?q=norway") == {refused.session_id}
    assert sessions(own, f"?q={refused.trace_id}") == {refused.session_id}
    with client_scope(acme.pk):
        session_id = Session.objects.get(pk=refused.session_id).session_id
    assert sessions(own, f"?q={session_id}") == {refused.session_id}
    assert sessions(own, "?q=Antarctica") == set()
    assert len(sessions(own, "")) == 5
    assert len(sessions(sue, "")) == 10
    assert len(sessions(sue, "?q=norway")) == 2
    assert len(sessions(sue, f"?client__id__exact={acme.pk}")) == 5


def test_who_searches_more_than_can_be_searched_is_told(
    told: dict[str, Message], own: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Words are looked for in the newest"
    assert said not in own.get(f"{LIST}?q=norway").content.decode()
    monkeypatch.setattr(conversations, "SEARCHED", 4)
    assert said in own.get(f"{LIST}?q=norway").content.decode()
    assert sessions(own, "?q=boots") == set()  # said before the newest four


def test_the_transcript_is_what_the_visitor_saw_with_what_only_we_know(told: dict[str, Message], acme: Client) -> None:
    fine = told["fine"]
    with client_scope(acme.pk):
        UsageRecord.objects.create(request_id=str(fine.trace_id), at=AT, cost="0.00123")
    url = f"{LIST}{fine.session_id}/change/"
    page = browser_of("root", is_superuser=True).get(url).content.decode()
    for shown in ("May boots be returned?", "Yes.", "within 60 days", "Returns, page 2", "800 + 90 tokens", "$0.00123",
                  "gpt-4o-mini", "first word 300 ms", "whole 1200 ms", "Acme Outdoor"):  # fmt: skip
        assert shown in page, shown
    assert "$0.00123" not in browser_of("sue", StaffMember.Role.SUPPORT).get(url).content.decode()


def test_a_turn_is_not_shown_as_html(acme: Client, own: Browser) -> None:
    answer = asked(acme, "<script>alert(1)</script>", ANSWERED, comment="<b>x</b>", text="<img src=x onerror=y>")
    page = own.get(f"{LIST}{answer.session_id}/change/").content.decode()
    assert "<script>alert(1)" not in page and "<img src=x" not in page and "<b>x</b>" not in page


def test_a_message_leads_to_its_conversation(told: dict[str, Message], own: Browser) -> None:
    down = told["down"]
    found = own.get(f"/admin/chat/message/{down.pk}/change/")
    assert (found.status_code, found["Location"]) == (302, f"{LIST}{down.session_id}/change/#turn-{down.pk}")


def test_the_export_is_the_visitors_own_and_is_noted(
    told: dict[str, Message], acme: Client, acme_key: str, own: Browser
) -> None:
    down = told["down"]
    session_id = with_address(acme, down)
    found = body(own.get(reverse("admin:chat_session_export", args=(down.session_id,))))
    as_visitor = {"x-api-key": acme_key, "x-session-token": session_token(acme.pk, session_id)}
    assert found == body(Browser().get(f"/api/widget/sessions/{session_id}/export", headers=as_visitor))
    assert json.loads(found)["session"]["sessionId"] == str(session_id)
    assert [(turn["text"], turn["comment"]) for turn in json.loads(found)["messages"]] == [
        ("Are tents repaired?", ""),
        ("Yes.", "=wrong, said Ann"),
    ]
    assert [contact["email"] for contact in json.loads(found)["contacts"]] == ["ann@example.com"]
    [event] = audited()
    assert (event.actor, event.action, event.client_id) == ("own", "export", acme.pk)
    table = own.get(reverse("admin:chat_session_export_csv", args=(down.session_id,))).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(row["role"], row["text"], row["comment"]) for row in rows] == [
        ("visitor", "Are tents repaired?", ""),
        ("assistant", "Yes.", "'=wrong, said Ann"),  # no spreadsheet takes it for a formula
    ]


def with_address(client: Client, message: Message) -> uuid.UUID:
    """Leave an e-mail address in a message's conversation; the conversation's id for the world."""
    with client_scope(client.pk):
        Contact.objects.create(session_id=message.session_id, email="ann@example.com")
        return Session.objects.get(pk=message.session_id).session_id


def body(response: Any) -> bytes:
    """Of a download in pieces."""

    async def read() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    assert response.status_code == 200
    return async_to_sync(read)()


def test_a_visitor_is_erased_with_a_receipt(told: dict[str, Message], acme: Client, own: Browser) -> None:
    down = told["down"]
    with_address(acme, down)
    page = own.post(reverse("admin:chat_session_erase", args=(down.session_id,)))
    shown = " ".join(page.content.decode().split())
    assert page.status_code == 200 and page.context["lines"] == [("messages", 2, 0), ("contacts", 1, 0)]
    assert "The visitor is erased" in shown and "by own" in shown
    with client_scope(acme.pk):
        assert (Session.objects.count(), Message.objects.count(), Contact.objects.count()) == (4, 8, 0)
        receipt = SessionErasure.objects.get()
        assert (receipt.before, receipt.after) == ({"messages": 2, "contacts": 1}, {"messages": 0, "contacts": 0})
    [event] = audited()
    assert (event.action, event.client_id, event.before, event.after) == (
        "erase visitor", acme.pk, {"messages": 2, "contacts": 1}, {"messages": 0, "contacts": 0}
    )  # fmt: skip
    assert own.post(reverse("admin:chat_session_erase", args=(down.session_id,))).status_code == 404


def test_several_are_erased_from_the_list(told: dict[str, Message], acme: Client, own: Browser) -> None:
    form = {"action": "delete_selected", "_selected_action": [m.session_id for m in told.values()], "post": "yes"}
    assert own.post(LIST, form).status_code == 302
    with client_scope(acme.pk):
        assert not Session.objects.exists()
    assert len(audited(action="erase visitor")) == 5


def test_one_message_is_never_taken_out_of_a_conversation(told: dict[str, Message], own: Browser) -> None:
    assert own.post(f"/admin/chat/message/{told['fine'].pk}/delete/", {"post": "yes"}).status_code == 403


def test_others_see_and_erase_nothing(told: dict[str, Message], stranger: Client, acme: Client) -> None:
    pk = told["fine"].session_id
    paths = [f"{LIST}{pk}/change/", *(reverse(f"admin:chat_session_{name}", args=(pk,)) for name in
             ("export", "export_csv"))]  # fmt: skip
    other, biller = browser_of("o", "client", stranger), browser_of("b", "billing")
    assert [other.get(path).status_code for path in paths] == [404, 404, 404]
    assert [biller.get(path).status_code for path in (LIST, *paths)] == [403] * 4
    erase = reverse("admin:chat_session_erase", args=(pk,))
    assert (other.post(erase).status_code, biller.post(erase).status_code) == (404, 403)
    assert len(sessions(other, "")) == 5
    with client_scope(acme.pk):
        assert Session.objects.count() == 5


@pytest.mark.parametrize("rows", [1, 300])
def test_lists_and_transcripts_take_few_queries_and_count_no_further_than_they_must(acme: Client, rows: int) -> None:
    browser = browser_of("root", is_superuser=True)
    first = asked(acme, "first", REFUSED)
    for number in range(min(rows, 60) - 1):
        asked(acme, f"question {number}", REFUSED)
    with client_scope(acme.pk):
        Message.objects.bulk_create(
            Message(session_id=first.session_id, trace_id=f"00000000-0000-4000-8000-{n:012}", role="visitor", text="x")
            for n in range(rows)
        )
        Session.objects.bulk_create(Session() for _ in range(rows))
    for path in (LIST, f"{LIST}?q=question", f"{LIST}?with=refused", f"{LIST}?with=slow", "/admin/chat/message/?q=x",
                 f"{LIST}{first.session_id}/change/", f"{LIST}{first.session_id}/export.csv"):  # fmt: skip
        sent = queries(browser, path)
        assert len(sent) <= MOST_QUERIES, path
        unbounded = [sql for sql in sent if "COUNT(" in sql and "chat_" in sql and "LIMIT" not in sql]
        assert unbounded == [], path


def queries(browser: Browser, path: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(path).status_code == 200
    bookkeeping: Any = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")
    return [query["sql"] for query in captured if not query["sql"].startswith(bookkeeping)]
