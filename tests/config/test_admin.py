"""The desk: who sees what, what is remembered of it, and how many queries a page takes."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from chat.models import EvaluationRun, Gap, Message, QuestionSet, Session
from knowledge.models import Document, DocumentVersion
from tenants import keys
from tenants.models import ApiKey, AuditEvent, Client, StaffMember
from tenants.scoping import client_scope, unscoped
from tests.isolation.rows import OWNED, Rows, canary, furnish

PASSWORD = "a-long-enough-password"
MOST_QUERIES = 15


def browser_of(name: str, role: str = "", client: Client | None = None, **rights: Any) -> Browser:
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True, **rights)
    if role:
        with unscoped("the test hires"):
            StaffMember.objects.create(user=user, role=role, client=client)
    browser = Browser()
    browser.force_login(user, "tenants.staff.RoleBackend")
    return browser


def audited(**what: Any) -> list[AuditEvent]:
    with unscoped("the test looks at all"):
        return list(AuditEvent.objects.filter(**what))


def furnished(client: Client) -> Rows:
    rows = furnish(client)
    with client_scope(client.pk):
        Document.objects.update(latest=rows[DocumentVersion], live=rows[DocumentVersion])
    return rows


def pages(rows: Rows, client: Client) -> list[str]:
    """Every list, form, deletion and history of the admin, and the desk's own pages, about the client's rows."""
    found = [reverse("admin:index")]
    for model in admin.site._registry:
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        pk = client.pk if model is Client else rows[model].pk if model in rows else 1
        found += [
            base,
            f"{base}?q=canary",
            f"{base}add/",
            *(f"{base}{pk}/{verb}/" for verb in ("change", "delete", "history")),
        ]
    document, session = rows[Document].pk, rows[Session].pk
    version = rows[DocumentVersion].pk
    return [
        *found,
        reverse("admin:client_widget", args=(client.pk,)),
        reverse("admin:chat_session_export", args=(session,)),
        reverse("admin:chat_session_export_csv", args=(session,)),
        reverse("admin:chat_gap_progress", args=(rows[Gap].pk,)),
        reverse("admin:chat_questionset_export", args=(rows[QuestionSet].pk,)),
        reverse("admin:chat_evaluationrun_progress", args=(rows[EvaluationRun].pk,)),
        reverse("admin:chat_session_live", args=(session,)),
        reverse("admin:knowledge_document_progress") + f"?version={version}",
        reverse("admin:knowledge_document_changelist") + f"?client__id__exact={client.pk}",
        reverse("admin:autocomplete") + "?app_label=tenants&model_name=widgetconfig&field_name=client&term=",
        f"/admin/knowledge/document/{document}/change/?p=2",
    ]


def test_a_clients_staff_see_nothing_of_another_client(acme: Client, stranger: Client) -> None:
    rows, _ = furnished(acme), furnished(stranger)
    browser = browser_of("own", StaffMember.Role.CLIENT, stranger)
    for page in pages(rows, acme):
        response = browser.get(page)
        assert response.status_code in (200, 302, 403, 404), page
        for secret in (canary(acme), acme.name):
            assert secret not in response.content.decode(), (page, secret)


def test_a_clients_staff_change_nothing_of_another_client(acme: Client, stranger: Client) -> None:
    rows = furnished(acme)
    browser = browser_of("own", StaffMember.Role.CLIENT, stranger)
    before = counts(acme)
    key = rows[ApiKey].pk
    for name, args in (
        ("client_make_key", (acme.pk,)),
        ("client_rotate_key", (acme.pk, key)),
        ("client_revoke_key", (acme.pk, key)),
        ("client_rotate_key", (stranger.pk, key)),
        ("client_revoke_key", (stranger.pk, key)),
        ("client_ask", (acme.pk,)),
        ("chat_session_erase", (rows[Session].pk,)),
        ("knowledge_document_erase", (rows[Document].pk,)),
        ("knowledge_document_again", (rows[Document].pk,)),
        ("knowledge_document_reindex", (rows[Document].pk,)),
        ("knowledge_document_search", (rows[Document].pk,)),
        *((f"chat_gap_{act}", (rows[Gap].pk,)) for act in ("answer", "dismiss", "reopen", "resolve")),
        *((f"chat_questionset_{act}", (rows[QuestionSet].pk,)) for act in ("import", "ask", "run", "rename")),
        ("chat_evaluationrun_stop", (rows[EvaluationRun].pk,)),
        ("client_retention", (acme.pk,)),
    ):
        response = browser.post(reverse(f"admin:{name}", args=args), {"question": "x", "kind": "publishable"})
        assert response.status_code == 404, name
    upload = browser.post(reverse("admin:knowledge_document_upload"), {"client": acme.pk})
    assert upload.status_code == 400
    assert counts(acme) == before


def counts(client: Client) -> dict[str, int]:
    with client_scope(client.pk):
        return {model._meta.label: model._default_manager.count() for model in OWNED}


@pytest.mark.parametrize(
    ("role", "shut"),
    [
        ("support", ("billing/invoice", "billing/usagerecord", "tenants/apikey", "auth/user", "tenants/auditevent")),
        ("billing", ("chat/session", "chat/message", "knowledge/document", "tenants/apikey", "auth/user")),
    ],
)
def test_a_role_opens_its_own_pages_only(acme: Client, role: str, shut: tuple[str, ...]) -> None:
    browser = browser_of(role, role)
    assert browser.get("/admin/").status_code == 200
    assert browser.get(f"/admin/tenants/client/{acme.pk}/change/").status_code == 200
    assert [browser.get(f"/admin/{page}/").status_code for page in shut] == [403] * len(shut)


def test_staff_without_a_role_see_nothing(acme: Client) -> None:
    assert browser_of("new").get("/admin/").status_code == 403


def test_support_changes_answers_but_not_terms(acme: Client) -> None:
    browser = browser_of("sue", StaffMember.Role.SUPPORT)
    form = {"name": "Renamed", "tier": "free", "hourly_limit": 7, "allowed_domains": "[]", "alert_threshold": 80}
    assert browser.post(f"/admin/tenants/client/{acme.pk}/change/", form).status_code == 302
    acme.refresh_from_db()
    assert (acme.name, acme.tier, acme.hourly_limit) == ("Renamed", "paid", None)
    [event] = audited(action="change")
    assert (event.actor, event.client_id, event.before, event.after) == (
        "sue", acme.pk, {"name": "Acme Outdoor"}, {"name": "Renamed"}
    )  # fmt: skip


def test_what_is_seen_across_clients_is_noted_and_never_forgotten(acme: Client) -> None:
    browser_of("sue", StaffMember.Role.SUPPORT).get(f"/admin/tenants/client/{acme.pk}/change/")
    [event] = audited()
    assert (event.actor, event.action, event.client_id) == ("sue", "view", acme.pk)
    browser_of("own", StaffMember.Role.CLIENT, acme).get(f"/admin/tenants/client/{acme.pk}/change/")
    assert len(audited()) == 1
    for tamper in (lambda: AuditEvent.objects.update(actor="x"), lambda: AuditEvent.objects.all().delete()):
        with pytest.raises(DatabaseError), unscoped("the test tampers with all"):
            tamper()


def test_five_wrong_passwords_lock_the_name(db: None) -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    login = lambda password: Browser().post("/admin/login/", {"username": "root", "password": password})  # noqa: E731
    assert login(PASSWORD).status_code == 302
    assert [login("wrong").status_code for _ in range(5)] == [200] * 5
    refused = login(PASSWORD)
    assert refused.status_code == 200
    assert b"Too many wrong attempts" in refused.content


def test_an_enrolled_person_needs_the_code(db: None) -> None:
    user = User.objects.create_superuser("root", password=PASSWORD)
    device = TOTPDevice.objects.create(user=user, confirmed=True)
    form = {"username": "root", "password": PASSWORD}
    assert Browser().post("/admin/login/", form).status_code == 200
    code = f"{totp(device.bin_key):06}"
    assert Browser().post("/admin/login/", {**form, "code": "000000" if code != "000000" else "1"}).status_code == 200
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert Browser().post("/admin/login/", {**form, "code": code}).status_code == 302


def test_two_factor_is_demanded_where_it_is_required(db: None, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    browser = browser_of("root", is_superuser=True)
    assert browser.get("/admin/").headers["Location"] == "/admin/two-factor/"
    assert b"<svg" in browser.get("/admin/two-factor/").content
    device = TOTPDevice.objects.get()
    browser.post("/admin/two-factor/", {"code": f"{totp(device.bin_key):06}"})
    assert browser.get("/admin/").status_code == 200


def test_a_key_is_shown_once_and_stops_when_revoked(acme: Client) -> None:
    browser = browser_of("root", is_superuser=True)
    made = browser.post(reverse("admin:client_make_key", args=(acme.pk,)), {"kind": "publishable", "name": "site"})
    with client_scope(acme.pk):
        row = ApiKey.objects.get()
    shown = next(
        word
        for word in made.content.decode().replace("<", " ").replace(">", " ").split()
        if word.startswith("pk_live_")
    )
    assert keys.find(keys.digests(shown)) == row
    assert shown not in browser.get(f"/admin/tenants/client/{acme.pk}/change/").content.decode()
    assert shown not in str([vars(event) for event in audited()])
    browser.post(reverse("admin:client_revoke_key", args=(acme.pk, row.pk)))
    assert keys.find(keys.digests(shown)) is None


@pytest.mark.parametrize("rows", [1, 300])
def test_no_page_takes_more_queries_than_it_may(acme: Client, rows: int) -> None:
    browser = browser_of("root", is_superuser=True)
    base = furnished(acme)
    with client_scope(acme.pk):
        session = base[Session]
        Message.objects.bulk_create(
            Message(client=acme, session=session, trace_id=f"00000000-0000-4000-8000-{n:012}", role="visitor", text="x")
            for n in range(rows)
        )
        Session.objects.bulk_create(Session(client=acme) for _ in range(rows))
        Document.objects.bulk_create(
            Document(client=acme, external_id=f"d{n}", title="t", latest=base[DocumentVersion]) for n in range(rows)
        )
    Client.objects.bulk_create(Client(name=f"c{n}") for n in range(rows))
    over = {}
    for page in pages(base, acme):
        with CaptureQueriesContext(connection) as queries:
            response = browser.get(page)
        if response.status_code == 200:
            sent = [q["sql"] for q in queries if not q["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))]
            if len(sent) > MOST_QUERIES:
                over[page] = len(sent)
    assert over == {}
