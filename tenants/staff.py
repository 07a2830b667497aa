"""Who works at the desk: roles, the client that a person is confined to, the lockout after wrong passwords, and how
long a login lasts."""

import time
import uuid
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from tenants.models import AuditEvent, Client, StaffMember
from tenants.scoping import client_scope, unscoped

LOCKOUT_FAILURES = 5
LOCKOUT_PERIOD = timedelta(minutes=15)
SINCE = "logged_in"  # in the session: when, in seconds since 1970
ATTEMPT, LOGIN = "login attempt", "login"

VIEW, WRITE = ("view",), ("view", "add", "change", "delete")


def _allowed(app: str, **models: tuple[str, ...]) -> set[str]:
    return {f"{app}.{verb}_{model}" for model, verbs in models.items() for verb in verbs}


# Beside the models' permissions: `change_terms` is a client's status, tier, limits and prices; `see_costs` what its
# answers cost us in models; `ask_as_client` the preview of an answer; `take_over` answering visitors in person.
PERMISSIONS: dict[str, set[str]] = {
    StaffMember.Role.SUPPORT: (
        _allowed("tenants", client=("view", "change"), widgetconfig=("view", "add", "change"))
        | _allowed("knowledge", document=WRITE, documentversion=VIEW, chunk=VIEW, callback=VIEW)
        | _allowed("chat", session=("view", "delete"), message=("view", "delete"), supporthours=WRITE, contact=VIEW)
        | _allowed("chat", gap=("view", "change"), questionset=WRITE, labelledquestion=WRITE, evaluationrun=VIEW)
        | _allowed("chat", retention=("view", "change"))
        | {"chat.take_over", "tenants.change_answers", "tenants.ask_as_client", "tenants.see_activity"}
    ),
    StaffMember.Role.BILLING: (
        _allowed("tenants", client=("view", "change"))
        | _allowed("billing", plan=WRITE, budget=WRITE, paymentaccount=WRITE, billingevent=("view", "change"))
        | _allowed("billing", subscription=VIEW, usagehour=VIEW, usagerecord=VIEW, alert=VIEW)
        | _allowed("billing", invoice=("view", "add"), invoiceline=VIEW)  # what is added is a credit note
        | {"tenants.change_terms", "tenants.see_costs", "tenants.see_activity"}
    ),
    StaffMember.Role.CLIENT: (
        _allowed("tenants", client=("view", "change"), widgetconfig=("view", "add", "change"), apikey=WRITE)
        | _allowed("knowledge", document=WRITE, documentversion=VIEW, chunk=VIEW)
        | _allowed("chat", session=("view", "delete"), message=("view", "delete"), supporthours=WRITE, contact=VIEW)
        | _allowed("chat", gap=("view", "change"), questionset=WRITE, labelledquestion=WRITE, evaluationrun=VIEW)
        | _allowed("chat", retention=("view", "change"))
        | _allowed("billing", invoice=VIEW, invoiceline=VIEW, alert=VIEW)
        | {"chat.take_over", "tenants.change_answers", "tenants.ask_as_client", "tenants.see_activity"}
    ),
}


class RoleBackend(ModelBackend):
    """A staff member may do exactly what the role says: groups and single permissions add nothing to it."""

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        member = None if user_obj.is_anonymous or user_obj.is_superuser else member_of(user_obj)
        if member is None:
            return super().get_all_permissions(user_obj, obj)
        return PERMISSIONS[member.role] if user_obj.is_active and obj is None else set()


def member_of(user: Any) -> StaffMember | None:
    """The user's row, read once a request, with the client that it names."""
    cache = user._state.fields_cache
    if "staff_member" not in cache:
        with unscoped("a person's role says which scope they get"):
            cache["staff_member"] = StaffMember.objects.select_related("client").filter(user=user).first()
    return cache["staff_member"]


def works_for_all(user: Any) -> bool:
    """May this person see every client? Superusers, support and billing."""
    member = member_of(user) if not user.is_superuser else None
    return user.is_superuser or (member is not None and member.role != StaffMember.Role.CLIENT)


def only_client(user: Any) -> uuid.UUID | None:
    """The id of the one client that this person sees."""
    client = own_client(user)
    return client.pk if client else None


def own_client(user: Any) -> Client | None:
    """The one client that this person sees, as it was when the request began."""
    member = None if user.is_superuser else member_of(user)
    return member.client if member and member.role == StaffMember.Role.CLIENT else None


def scope(user: Any) -> AbstractContextManager[Any]:
    """The scope that this person works in: the own client's, or everyone's.

    PermissionDenied for who has no role: nothing is shown by default.
    """
    if client_id := only_client(user):
        return client_scope(client_id)
    if works_for_all(user):
        return unscoped("support staff work across clients")
    raise PermissionDenied("This account has no role at the desk yet. A superuser gives it one.")


def is_locked(username: str) -> bool:
    """Were there too many wrong passwords for this name lately? Names that nobody has lock just the same."""
    return _failures(username) >= LOCKOUT_FAILURES


def begin_attempt(username: str, address: str) -> bool:
    """Count a login that is about to be tried; False when it may not be. Counted first, so that attempts made at the
    same moment can't all slip through."""
    if is_locked(username):
        return False
    _note(username, address, ATTEMPT)
    return _failures(username) <= LOCKOUT_FAILURES


def _failures(username: str) -> int:
    """Attempts in the period since the last login that succeeded."""
    with unscoped("who logs in has no scope yet"):
        events = AuditEvent.objects.filter(actor=_name(username), at__gt=timezone.now() - LOCKOUT_PERIOD)
        last = events.filter(action=LOGIN).order_by("-id").values_list("id", flat=True).first()
        return events.filter(action=ATTEMPT, id__gt=last or 0).count()


def succeeded(username: str, address: str) -> None:
    """The attempts before this login no longer count."""
    _note(username, address, LOGIN)


def _note(username: str, address: str, action: str) -> None:
    with unscoped("who logs in has no scope yet"):
        AuditEvent.objects.create(actor=_name(username), address=address, action=action)


def _name(username: str) -> str:
    return username.casefold()[:150]


def remember_login(sender: Any, request: HttpRequest, **_: Any) -> None:
    """Note in the session when it began; connected to `user_logged_in`."""
    request.session[SINCE] = time.time()


def too_old(request: HttpRequest) -> bool:
    """Has this session lasted as long as one may? Django's own age begins anew whenever the session is written."""
    return time.time() - request.session.get(SINCE, 0) > settings.SESSION_COOKIE_AGE
