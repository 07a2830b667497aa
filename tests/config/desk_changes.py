"""Everything that can be changed at the desk, and the row of the audit that each change must leave.

A new way to change something that is missing here fails test_admin_audit.py.
"""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from billing.models import BillingEvent, Budget, PaymentAccount, Plan
from chat.models import Session
from knowledge.models import Callback, Document
from tenants.models import ApiKey, Client, WidgetConfig
from tests.config.desk import PASSWORD, Change, ticked
from tests.config.desk_changes_of_chat import ALIKE_OF_CHAT, changes_of_chat


def changes(rows: Any, client: Client, user: User) -> list[Change]:
    """Everything that can be changed at the desk, done once, in this order."""
    widget, key, document = rows[WidgetConfig], rows[ApiKey], rows[Document]
    budget, account, event = rows[Budget], rows[PaymentAccount], rows[BillingEvent]
    looks = {
        "primary_color": "#112233",
        "position": "bottom-left",
        "welcome_message": "Hello",
        "widget_name": "W",
        "options": "{}",
    }
    terms = {
        "name": "N",
        "status": "active",
        "tier": "paid",
        "allowed_domains": "[]",
        "alert_threshold": 80,
        "overage_cents": 12,
    }
    plan = Plan.objects.create(
        tier="paid", effective_from=timezone.now() + timedelta(days=9), requests_per_hour=5, overage=True, documents=5
    )
    plans = {
        "tier": "paid",
        "requests_per_hour": 7,
        "documents": 5,
        "subscription_cents": 0,
        "effective_from_1": "00:00",
    }
    base = f"/admin/tenants/client/{client.pk}"
    people = {"username": "pat", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    role = {
        "staff_member-TOTAL_FORMS": 1,
        "staff_member-INITIAL_FORMS": 0,
        "staff_member-0-role": "support",
        "staff_member-0-user": user.pk,
    }
    return [
        Change(
            "tenants.client add", "/admin/tenants/client/add/", terms, "add", {}, {"name": "N", "overage_cents": 12}
        ),
        Change(
            "tenants.client change",
            f"{base}/change/",
            {**terms, "name": "Renamed"},
            "change",
            {"name": client.name, "overage_cents": 10},
            {"name": "Renamed", "overage_cents": 12},
        ),
        Change(
            "tenants.widgetconfig change",
            f"/admin/tenants/widgetconfig/{widget.pk}/change/",
            looks,
            "change",
            {"primary_color": widget.primary_color},
            {"primary_color": "#112233"},
        ),
        Change(
            "tenants.widgetconfig delete",
            f"/admin/tenants/widgetconfig/{widget.pk}/delete/",
            {"post": "yes"},
            "delete",
            {"primary_color": "#112233"},
        ),
        Change(
            "tenants.widgetconfig add",
            "/admin/tenants/widgetconfig/add/",
            {**looks, "client": client.pk},
            "add",
            {},
            {"primary_color": "#112233"},
        ),
        Change(
            "client_make_key", f"{base}/keys/make/", {"kind": "publishable"}, "make key", {}, {"kind": "publishable"}
        ),
        Change("client_rotate_key", f"{base}/keys/{key.pk}/rotate/", {}, "rotate key", {"hint": key.hint}),
        Change("client_revoke_key", f"{base}/keys/{key.pk}/revoke/", {}, "revoke key", {"revoked": None}),
        Change("client_ask", f"{base}/ask/", {"question": "canary?"}, "ask as client"),
        Change("auth.user add", "/admin/auth/user/add/", people, "add", {}, {"username": "pat"}),
        Change(
            "auth.user change",
            f"/admin/auth/user/{user.pk}/change/",
            {
                "username": "renamed",
                "is_active": "on",
                "date_joined_0": "2026-01-01",
                "date_joined_1": "00:00",
                "staff_member-TOTAL_FORMS": 0,
                "staff_member-INITIAL_FORMS": 0,
            },
            "change",
            {"username": "pam"},
            {"username": "renamed"},
        ),
        Change(
            "role",
            f"/admin/auth/user/{user.pk}/change/",
            {"username": "renamed", "is_active": "on", **role},
            "change role",
            {},
            {"role": "support"},
        ),
        Change(
            "auth_user_password_change",
            f"/admin/auth/user/{user.pk}/password/",
            {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"},
            "change password",
        ),
        Change(
            "auth.user take_second_factor",
            "/admin/auth/user/",
            ticked(user, "take_second_factor"),
            "two-factor taken away",
            {"enrolled": True},
            {"enrolled": False},
        ),
        Change(
            "auth.user delete",
            f"/admin/auth/user/{user.pk}/delete/",
            {"post": "yes"},
            "delete",
            {"username": "renamed"},
        ),
        Change(
            "billing.plan add",
            "/admin/billing/plan/add/",
            {**plans, "effective_from_0": "2031-01-01"},
            "add",
            {},
            {"requests_per_hour": 7},
        ),
        Change(
            "billing.plan change",
            f"/admin/billing/plan/{plan.pk}/change/",
            {**plans, "effective_from_0": "2032-01-01"},
            "change",
            {"requests_per_hour": 5},
            {"requests_per_hour": 7},
        ),
        Change(
            "billing.plan delete",
            f"/admin/billing/plan/{plan.pk}/delete/",
            {"post": "yes"},
            "delete",
            {"requests_per_hour": 7},
        ),
        Change(
            "billing.budget change",
            f"/admin/billing/budget/{budget.pk}/change/",
            {"client": client.pk, "monthly": "55"},
            "change",
            {"monthly": f"{budget.monthly}.00"},
            {"monthly": "55"},
        ),
        Change(
            "billing.budget delete",
            f"/admin/billing/budget/{budget.pk}/delete/",
            {"post": "yes"},
            "delete",
            {"monthly": "55.00"},
        ),
        Change(
            "billing.budget add",
            "/admin/billing/budget/add/",
            {"client": client.pk, "monthly": "66"},
            "add",
            {},
            {"monthly": "66"},
        ),
        Change(
            "billing.paymentaccount change",
            f"/admin/billing/paymentaccount/{account.pk}/change/",
            {"client": client.pk, "customer_id": "c2"},
            "change",
            {"customer_id": account.customer_id},
            {"customer_id": "c2"},
        ),
        Change(
            "billing.paymentaccount delete",
            f"/admin/billing/paymentaccount/{account.pk}/delete/",
            {"post": "yes"},
            "delete",
            {"customer_id": "c2"},
        ),
        Change(
            "billing.paymentaccount add",
            "/admin/billing/paymentaccount/add/",
            {"client": client.pk, "customer_id": "c3"},
            "add",
            {},
            {"customer_id": "c3"},
        ),
        Change(
            "billing.billingevent try_again",
            "/admin/billing/billingevent/",
            ticked(event, "try_again"),
            "try again",
            {"state": "failed"},
            {"state": "pending"},
        ),
        Change(
            "knowledge.callback deliver_again",
            "/admin/knowledge/callback/",
            ticked(rows[Callback], "deliver_again"),
            "deliver again",
            {"attempts": rows[Callback].attempts},
            {"attempts": 0},
        ),
        Change(
            "knowledge_document_upload",
            "/admin/knowledge/document/upload/",
            {"client": client.pk, "file": SimpleUploadedFile("new.txt", b"Open from nine to five.")},
            "upload",
            {},
            {"file": "new.txt", "bytes": 23, "version": 1},
        ),
        Change(
            "knowledge_document_search", f"/admin/knowledge/document/{document.pk}/search/", {"question": "x"}, "view"
        ),
        Change("knowledge.document erase", "/admin/knowledge/document/", ticked(document, "erase"), "view"),
        Change(
            "knowledge_document_erase_several",
            "/admin/knowledge/document/erase/",
            {"document": document.pk},
            "erase",
            {"Versions": 1},
            {"Versions": 0},
        ),
        *changes_of_chat(rows, client),
        Change(
            "chat.session delete", f"/admin/chat/session/{rows[Session].pk}/delete/", {"post": "yes"}, "erase visitor"
        ),
    ]


# The same verbs by another way; and what does nothing to the rows of this test (its own tests show the refusals).
ALIKE = {
    "tenants.apikey change": "nothing of a key is edited",
    "tenants.apikey revoke_keys": "as client_revoke_key",
    "tenants.widgetconfig delete_selected": "as delete",
    "auth.user delete_selected": "as delete",
    "billing.budget delete_selected": "as delete",
    "billing.paymentaccount delete_selected": "as delete",
    "chat.session delete_selected": "as delete",
    "knowledge.document add": "as knowledge_document_upload",
    "knowledge_document_again": "a new upload of the same file",
    "knowledge_document_reindex": "writes vectors only",
    "knowledge_document_erase": "as knowledge_document_erase_several",
    "chat_session_erase": "as chat.session delete",
    "logout": "nobody's rows",
    **ALIKE_OF_CHAT,
}


PARTS = {"role", "auth_user_password_change", "knowledge_document_search"}  # of pages that are looked at, too
