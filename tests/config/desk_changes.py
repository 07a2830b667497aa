"""Everything that can be changed at the desk, and the row of the audit that each change must leave.

A new way to change something that is missing here fails test_admin_audit.py.
"""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from billing.models import BillingEvent, Budget, Invoice, PaymentAccount, Plan
from chat.models import Session
from knowledge.models import Callback, Document
from tenants.models import ApiKey, Client, WidgetConfig
from tests.config.desk import PASSWORD, Change, added, changed, deleted, ticked
from tests.config.desk_changes_of_chat import ALIKE_OF_CHAT, changes_of_chat


def changes(rows: Any, client: Client, user: User) -> list[Change]:
    """Everything that can be changed at the desk, done once, in this order."""
    return [
        *_of_the_client(rows, client),
        *_of_people(user),
        *_of_plans(),
        *_of_bills(rows, client),
        *_of_documents(rows, client),
        *changes_of_chat(rows, client),
        deleted("chat.session", rows[Session].pk, {}, "erase visitor"),
    ]


def _of_the_client(rows: Any, client: Client) -> list[Change]:
    widget, key, base = rows[WidgetConfig], rows[ApiKey], f"/admin/tenants/client/{client.pk}"
    terms = {"name": "N", "status": "active", "tier": "paid", "allowed_domains": "", "alert_threshold": 80,
             "overage_cents": 12}  # fmt: skip
    looks = {"primary_color": "#112233", "position": "bottom-left", "welcome_message": "Hello", "widget_name": "W",
             "options": "{}"}  # fmt: skip
    kind, blue = {"kind": "publishable"}, {"primary_color": "#112233"}
    return [
        added("tenants.client", terms, {"name": "N", "overage_cents": 12}),
        changed("tenants.client", client.pk, {**terms, "name": "Renamed"},
                {"name": client.name, "overage_cents": 10}, {"name": "Renamed", "overage_cents": 12}),
        changed("tenants.widgetconfig", widget.pk, looks, {"primary_color": widget.primary_color}, blue),
        deleted("tenants.widgetconfig", widget.pk, blue),
        added("tenants.widgetconfig", {**looks, "client": client.pk}, blue),
        Change("client_make_key", f"{base}/keys/make/", kind, "make key", {}, kind),
        Change("client_rotate_key", f"{base}/keys/{key.pk}/rotate/", {}, "rotate key", {"hint": key.hint}),
        Change("client_revoke_key", f"{base}/keys/{key.pk}/revoke/", {}, "revoke key", {"revoked": None}),
        Change("client_ask", f"{base}/ask/", {"question": "canary?"}, "ask as client"),
    ]  # fmt: skip


def _of_people(user: User) -> list[Change]:
    base = f"/admin/auth/user/{user.pk}"
    password = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    renamed = {"username": "renamed", "is_active": "on", "date_joined_0": "2026-01-01", "date_joined_1": "00:00",
               "staff_member-TOTAL_FORMS": 0, "staff_member-INITIAL_FORMS": 0}  # fmt: skip
    role = {"staff_member-TOTAL_FORMS": 1, "staff_member-0-role": "support", "staff_member-0-user": user.pk}
    return [
        added("auth.user", {"username": "pat", **password}, {"username": "pat"}),
        changed("auth.user", user.pk, renamed, {"username": "pam"}, {"username": "renamed"}),
        Change("role", f"{base}/change/", {**renamed, **role}, "change role", {}, {"role": "support"}),
        Change("auth_user_password_change", f"{base}/password/", password, "change password"),
        Change("auth.user take_second_factor", "/admin/auth/user/", ticked(user, "take_second_factor"),
               "two-factor taken away", {"enrolled": True}, {"enrolled": False}),
        deleted("auth.user", user.pk, {"username": "renamed"}),
    ]  # fmt: skip


def _of_plans() -> list[Change]:
    plan = Plan.objects.create(
        tier="paid", effective_from=timezone.now() + timedelta(days=9), requests_per_hour=5, overage=True, documents=5
    )
    terms = {"tier": "paid", "requests_per_hour": 7, "documents": 5, "subscription_cents": 0,
             "effective_from_1": "00:00"}  # fmt: skip
    five, seven = {"requests_per_hour": 5}, {"requests_per_hour": 7}
    return [
        added("billing.plan", {**terms, "effective_from_0": "2031-01-01"}, seven),
        changed("billing.plan", plan.pk, {**terms, "effective_from_0": "2032-01-01"}, five, seven),
        deleted("billing.plan", plan.pk, seven),
    ]


def _of_bills(rows: Any, client: Client) -> list[Change]:
    budget, account, event, invoice = rows[Budget], rows[PaymentAccount], rows[BillingEvent], rows[Invoice]
    mine = {"client": client.pk}
    return [
        changed("billing.budget", budget.pk, {"monthly": "55"}, {"monthly": f"{budget.monthly}.00"},
                {"monthly": "55"}),
        deleted("billing.budget", budget.pk, {"monthly": "55.00"}),
        added("billing.budget", {**mine, "monthly": "66"}, {"monthly": "66"}),
        changed("billing.paymentaccount", account.pk, {"customer_id": "c2"},
                {"customer_id": account.customer_id}, {"customer_id": "c2"}),
        deleted("billing.paymentaccount", account.pk, {"customer_id": "c2"}),
        added("billing.paymentaccount", {**mine, "customer_id": "c3"}, {"customer_id": "c3"}),
        Change("billing_invoice_credit", f"/admin/billing/invoice/{invoice.pk}/credit/",
               {"amount": "0.01", "reason": "x", "left": invoice.total_cents}, "credit", {}, {"reason": "x"}),
        Change("billing.billingevent try_again", "/admin/billing/billingevent/", ticked(event, "try_again"),
               "try again", {"state": "failed"}, {"state": "pending"}),
    ]  # fmt: skip


def _of_documents(rows: Any, client: Client) -> list[Change]:
    document, callback, base = rows[Document], rows[Callback], "/admin/knowledge/document"
    upload = {"client": client.pk, "file": SimpleUploadedFile("new.txt", b"Open from nine to five.")}
    return [
        Change("knowledge.callback deliver_again", "/admin/knowledge/callback/", ticked(callback, "deliver_again"),
               "deliver again", {"attempts": callback.attempts}, {"attempts": 0}),
        Change("knowledge_document_upload", f"{base}/upload/", upload, "upload", {},
               {"file": "new.txt", "bytes": 23, "version": 1}),
        Change("knowledge_document_search", f"{base}/{document.pk}/search/", {"question": "x"}, "view"),
        Change("knowledge.document erase", f"{base}/", ticked(document, "erase"), "view"),
        Change("knowledge_document_erase_several", f"{base}/erase/", {"document": document.pk}, "erase",
               {"Versions": 1}, {"Versions": 0}),
    ]  # fmt: skip


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
