"""The audit at the desk: a row for every change and for every look across clients, and none can be rewritten."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.test import Client as Browser
from django.test import RequestFactory
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from billing.models import BillingEvent, Plan
from knowledge.models import Callback, Document
from tenants import keys
from tenants.models import AuditEvent, Client, StaffMember
from tenants.scoping import client_scope, unscoped
from tests.config.desk import PASSWORD, audited, browser_of, every_page, furnished
from tests.config.desk_changes import ALIKE, PARTS, changes

# Pages that belong to nobody's rows: no look at them is one across clients.
VIEWS = {"changelist", "history", "add", "change", "delete"}  # Django's own, of each model
NOBODYS = {"login", "logout", "jsi18n"}


def test_everything_that_can_be_changed_is_in_the_list(acme: Client) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    rows = furnished(acme)
    listed = {change.what for change in changes(rows, acme, root)} | set(ALIKE)
    request = RequestFactory().get("/admin/")
    request.user = root
    can = set()
    with unscoped("the test looks at everything"):
        for model, page in admin.site._registry.items():
            row = Plan(effective_from=timezone.now() + timedelta(days=1)) if model is Plan else None
            verbs = {"add": page.has_add_permission(request), "change": page.has_change_permission(request, row),
                     "delete": page.has_delete_permission(request, row)}  # fmt: skip
            can |= {f"{model._meta.label_lower} {verb}" for verb, may in verbs.items() if may}
            can |= {f"{model._meta.label_lower} {name}" for name in page.get_actions(request)}
    browser = Browser()
    browser.force_login(root, "tenants.staff.RoleBackend")
    ours = [page for page in every_page(rows, acme) if page.name.rpartition("_")[2] not in VIEWS]
    can |= {page.name for page in ours if browser.get(page.path).status_code == 405}
    assert listed - can == PARTS
    assert can - listed == set()


def test_every_change_leaves_its_row(acme: Client, own_data: Any) -> None:
    rows = furnished(acme)
    with client_scope(acme.pk):
        BillingEvent.objects.update(state="failed")
    user = User.objects.create_user("pam", password=PASSWORD)
    TOTPDevice.objects.create(user=user, confirmed=True)
    browser = browser_of("root", is_superuser=True)
    for change in changes(rows, acme, user):
        last = max((event.pk for event in audited()), default=0)
        response = browser.post(change.path, change.data)
        assert response.status_code in (200, 302), (change.what, response.status_code)
        found = {event.action: event for event in audited(id__gt=last)}
        assert change.action in found, (change.what, list(found), _complaints(response))
        event = found[change.action]
        assert event.actor == "root" and event.object, change.what
        told = (
            {k: v for k, v in side.items() if k in wanted}
            for side, wanted in ((event.before, change.before), (event.after, change.after))
        )
        assert tuple(told) == (change.before, change.after), change.what
        owned = (
            not change.what.startswith(("auth", "role", "billing.plan", "chat_gap_look")) and change.action != "view"
        )
        assert (event.client_id is not None) == owned or change.what == "knowledge_document_search", change.what


def _complaints(response: Any) -> Any:
    """What the form was not content with."""
    context = response.context
    return context["adminform"].form.errors if context and "adminform" in context else response.content[:300]


def test_many_at_once_leave_a_row_each(acme: Client, own_data: Any) -> None:
    furnished(acme)
    with client_scope(acme.pk):
        for _ in range(3):
            Callback.objects.create(document=Document.objects.get(), body="{}", attempts=9, status="failed")
        ids = list(Callback.objects.filter(attempts=9).values_list("pk", flat=True))
    browser = browser_of("sue", StaffMember.Role.SUPPORT)
    browser.post("/admin/knowledge/callback/", {"action": "deliver_again", "_selected_action": ids})
    events = sorted(audited(action="deliver again"), key=lambda event: event.object)
    assert [(e.actor, e.client_id, e.object, e.before, e.after) for e in events] == [
        ("sue", acme.pk, f"knowledge.Callback:{pk}", {"attempts": 9}, {"attempts": 0}) for pk in sorted(ids, key=str)
    ]


@pytest.mark.parametrize("role", ["", StaffMember.Role.SUPPORT, StaffMember.Role.BILLING])
def test_every_look_across_clients_is_noted(acme: Client, role: str) -> None:
    """Generated from the URL configuration: whatever shows a page to somebody who works for all clients."""
    rows = furnished(acme)
    me = f"me-{role}"
    browser = browser_of(me, role, is_superuser=not role)
    unnoted = []
    for page in every_page(rows, acme):
        last = max((event.pk for event in audited()), default=0)
        response = browser.get(page.path)
        noted = audited(id__gt=last, actor=me)
        if response.status_code == 200 and page.name not in NOBODYS and not noted:
            unnoted.append(page)
        if response.status_code == 200 and page.about and page.name.startswith(("knowledge", "chat", "tenants_client")):
            assert [event.client_id for event in noted] == [acme.pk], page
    assert unnoted == []


def test_a_page_that_asks_again_and_again_is_noted_once(acme: Client, stranger: Client) -> None:
    rows, others = furnished(acme), furnished(stranger)
    browser = browser_of("sue", StaffMember.Role.SUPPORT)
    for document in (rows, rows, rows, others):
        browser.get(f"/admin/knowledge/document/progress/?version={document[Document].pk}")
    assert len(audited(action="view")) == 2


def test_a_clients_own_staff_looking_at_their_own_is_no_event(acme: Client) -> None:
    browser_of("olga", StaffMember.Role.CLIENT, acme).get(f"/admin/tenants/client/{acme.pk}/change/")
    assert audited() == []


def test_the_audit_is_never_rewritten(acme: Client) -> None:
    browser_of("sue", StaffMember.Role.SUPPORT).get(f"/admin/tenants/client/{acme.pk}/change/")
    [event] = audited()
    assert (event.actor, event.action, event.client_id) == ("sue", "view", acme.pk)
    for tamper in (lambda: AuditEvent.objects.update(actor="x"), lambda: AuditEvent.objects.all().delete()):
        with pytest.raises(DatabaseError), unscoped("the test tampers with all"):
            tamper()
    assert LogEntry.objects.count() == 0


def test_a_key_that_was_found_somewhere_is_looked_up_and_not_written_down(acme: Client, stranger: Client) -> None:
    leaked, key = keys.mint(acme.pk, "secret", scopes=["usage"])
    for client in (acme, stranger):
        keys.mint(client.pk, "publishable")
    browser = browser_of("root", is_superuser=True)
    for path, term in ((f"/admin/tenants/apikey/{leaked.pk}/change/", f"+{key}+"), (None, f"{key[:-1]}_")):
        listed = browser.get(f"/admin/tenants/apikey/?q={term}").content.decode()
        assert set(re.findall(r"/admin/tenants/apikey/\d+/change/", listed)) == ({path} if path else set())
    looked = [event.object for event in audited() if event.action == "view"]
    assert looked == ["/admin/tenants/apikey/?q=+[key]+", "/admin/tenants/apikey/?q=[key]_"]
