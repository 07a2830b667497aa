"""The desk: what each role may do, keys, lockout, two-factor, and how long a login lasts."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from billing.models import Budget, PaymentAccount
from chat.models import SupportHours
from knowledge.models import Document, DocumentVersion
from tenants import keys, shown_once, staff, two_factor
from tenants.models import ApiKey, Client, StaffMember, WidgetConfig
from tenants.scoping import client_scope, unscoped
from tests.config.desk import PASSWORD, audited, browser_of, every_page, furnished


def test_staff_without_a_role_see_nothing(acme: Client) -> None:
    assert browser_of("new").get("/admin/").status_code == 403


def test_whoever_is_refused_is_told_why(acme: Client) -> None:
    assert b"This account has no role at the desk yet." in browser_of("new").get("/admin/").content
    sue = browser_of("sue", StaffMember.Role.SUPPORT)
    assert b"Your role at the desk does not allow this." in sue.get("/admin/billing/invoice/").content
    assert b"may have been erased" in sue.get("/admin/chat/session/9999/change/").content
    careful = Browser(enforce_csrf_checks=True)
    careful.cookies = sue.cookies
    refused = careful.post("/admin/tenants/client/add/", {"csrfmiddlewaretoken": "of a page of yesterday"})
    assert refused.status_code == 403 and b"You have logged in anew since" in refused.content


def test_a_login_that_ended_leads_back_to_the_form(acme: Client, settings: Any) -> None:
    """Not to the address that the form was sent to, where there may be nothing to look at."""
    form, action = f"/admin/tenants/client/{acme.pk}/change/?x=1", f"/admin/tenants/client/{acme.pk}/keys/make/"
    sue = browser_of("sue", StaffMember.Role.SUPPORT)

    def ended(**headers: str) -> Any:
        return sue.post(action, headers=headers, follow=True)

    settings.SESSION_COOKIE_AGE = 0
    too_old = ended(Referer=f"http://testserver{form}")
    for response in (too_old, ended(Referer=f"http://testserver{form}")):
        [(address, _)] = response.redirect_chain
        assert address == f"/admin/login/?{urlencode({'next': form}, safe='/')}"
        assert "what you sent was not carried out" in response.content.decode()
    for stranger in ({}, {"Referer": "https://evil.example//evil.example/"}):
        assert ended(**stranger).redirect_chain == [("/admin/login/?next=/admin/", 302)]


def test_a_new_client_has_no_id_before_it_is_stored(admin_client: Browser, acme: Client) -> None:
    """One that the form invented would be no client's."""
    new, known = (admin_client.get(f"/admin/tenants/client/{at}").content for at in ("add/", f"{acme.pk}/change/"))
    assert b"field-id" not in new and str(acme.pk).encode() in known


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("chat/supporthours", "09:00-12:30, 13:30-17:00"), ("chat/supporthours", "Such as Europe/Berlin."),
        ("billing/budget", "US dollars"), ("billing/paymentaccount", "cus_"),
        ("tenants/widgetconfig", "suggestedQuestions"),
    ],
)  # fmt: skip
def test_forms_say_how_they_are_filled_in(admin_client: Browser, page: str, told: str) -> None:
    assert told in admin_client.get(f"/admin/{page}/add/").content.decode()


def test_budgets_and_accounts_are_found_by_their_client(admin_client: Browser, acme: Client, stranger: Client) -> None:
    for client in (acme, stranger):
        with client_scope(client.pk):
            Budget.objects.create(monthly=5)
            PaymentAccount.objects.create(client=client, customer_id="cus_1")
    for page in ("budget", "paymentaccount"):
        found = admin_client.get(f"/admin/billing/{page}/?q=acme").context["cl"].result_list
        assert [row.client_id for row in found] == [acme.pk]


def test_support_changes_answers_but_not_terms(acme: Client) -> None:
    browser = browser_of("sue", StaffMember.Role.SUPPORT)
    form = {"name": "Renamed", "tier": "free", "hourly_limit": 7, "allowed_domains": "", "alert_threshold": 80}
    assert browser.post(f"/admin/tenants/client/{acme.pk}/change/", form).status_code == 302
    acme.refresh_from_db()
    assert (acme.name, acme.tier, acme.hourly_limit) == ("Renamed", "paid", None)
    [event] = audited(action="change")
    assert (event.actor, event.client_id, event.before, event.after) == (
        "sue", acme.pk, {"name": "Acme Outdoor"}, {"name": "Renamed"}
    )  # fmt: skip


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


@pytest.mark.parametrize("way", ["make", "rotate"])
def test_a_key_is_shown_once_and_stops_when_revoked(acme: Client, way: str) -> None:
    browser = browser_of("root", is_superuser=True)
    old, _ = keys.mint(acme.pk, "secret", name="shop server", scopes=["usage"])
    path = ("client_make_key", (acme.pk,)) if way == "make" else ("client_rotate_key", (acme.pk, old.pk))
    form = {"kind": "secret", "name": "shop server", "scopes": ["usage"]}
    made = browser.post(reverse(f"admin:{path[0]}", args=path[1]), form)
    with client_scope(acme.pk):
        row = ApiKey.objects.exclude(pk=old.pk).get()
    assert made["Location"] == reverse("admin:client_key_made", args=(acme.pk, row.pk))
    kept = f"{made.headers} {made.cookies} {dict(browser.session)} {[vars(event) for event in audited()]}"
    [shown] = re.findall(r"sk_live_\w{38}", browser.get(made["Location"]).content.decode())
    assert keys.find(keys.digests(shown)) == row
    assert shown not in kept
    again = browser.get(made["Location"]).content.decode()
    assert "was shown once" in again and shown not in again
    with client_scope(acme.pk):
        assert ApiKey.objects.count() == 2, "a reload makes no other"
    assert shown not in browser.get(f"/admin/tenants/client/{acme.pk}/change/").content.decode()
    browser.post(reverse("admin:client_revoke_key", args=(acme.pk, row.pk)))
    assert keys.find(keys.digests(shown)) is None


def test_a_new_key_is_shown_to_its_maker_and_not_for_long(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = browser_of("root", is_superuser=True)
    made = browser.post(reverse("admin:client_make_key", args=(acme.pk,)), {"kind": "publishable"})
    other = browser_of("own", StaffMember.Role.CLIENT, acme)
    assert "was shown once" in other.get(made["Location"]).content.decode()
    monkeypatch.setattr(shown_once, "WAITS", -1)
    assert "was shown once" in browser.get(made["Location"]).content.decode()


def test_a_login_ends_by_its_age_however_busy_it_was(acme: Client, settings: Any) -> None:
    browser = browser_of("root", is_superuser=True)
    session = browser.session
    session[staff.SINCE] -= settings.SESSION_COOKIE_AGE - 60
    session.save()  # so Django's own age begins anew
    assert browser.get("/admin/").status_code == 200
    session[staff.SINCE] -= 60
    session.save()
    assert browser.get("/admin/").headers["Location"] == "/admin/login/?next=/admin/"
    assert browser.get("/admin/two-factor/").headers["Location"].startswith("/admin/login/")


def test_a_lost_phone_is_taken_out_by_a_superuser(db: None) -> None:
    lost = User.objects.create_user("pam", password=PASSWORD, is_staff=True)
    TOTPDevice.objects.create(user=lost, confirmed=True)
    action = {"action": "take_second_factor", "_selected_action": lost.pk}
    assert browser_of("sue", StaffMember.Role.SUPPORT).post("/admin/auth/user/", action).status_code == 403
    assert two_factor.enrolled(lost)
    browser_of("root", is_superuser=True).post("/admin/auth/user/", action)
    assert not two_factor.enrolled(lost)


def test_support_is_shown_no_price(acme: Client) -> None:
    page = f"/admin/tenants/client/{acme.pk}/change/"
    shows = {role: b"overage_cents" in browser_of(role, role).get(page).content for role in ("support", "billing")}
    assert shows == {"support": False, "billing": True}


def test_a_new_version_is_for_ones_own_document_only(acme: Client, stranger: Client, own_data: Any) -> None:
    rows, _ = furnished(acme), furnished(stranger)
    document = rows[Document]
    form = {"document": document.pk}
    upload = lambda browser: browser.post(  # noqa: E731
        "/admin/knowledge/document/upload/", {**form, "file": SimpleUploadedFile("hours.txt", b"Open from nine.")}
    )
    assert upload(browser_of("other", StaffMember.Role.CLIENT, stranger)).status_code == 404
    assert upload(browser_of("bill", StaffMember.Role.BILLING)).status_code == 403
    sent = upload(browser_of("olga", StaffMember.Role.CLIENT, acme))
    assert sent.status_code == 200
    assert upload(browser_of("sue", StaffMember.Role.SUPPORT)).status_code == 409  # the same once more
    with client_scope(acme.pk):
        versions = list(
            DocumentVersion.objects.filter(document=document).order_by("number").values_list("pk", "number")
        )
        assert Document.objects.get(pk=document.pk).latest_id == versions[-1][0] == sent.json()["version"]
        assert len(versions) == 2


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Budget, {"monthly": "55"}),
        (PaymentAccount, {"customer_id": "c2"}),
        (SupportHours, {"time_zone": "UTC"}),
        (WidgetConfig, {"primary_color": "#112233", "position": "bottom-left", "welcome_message": "Hello",
                        "widget_name": "W", "options": "{}"}),
    ],
)  # fmt: skip
def test_a_row_never_changes_its_client(acme: Client, stranger: Client, model: Any, values: dict[str, str]) -> None:
    row = furnished(acme)[model]
    path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=(row.pk,))
    response = browser_of("root", is_superuser=True).post(path, {**values, "client": stranger.pk})
    assert response.status_code == 302
    name, value = next(iter(values.items()))
    with client_scope(acme.pk):
        assert str(getattr(model.objects.get(pk=row.pk), name)).startswith(value)
    with client_scope(stranger.pk):
        assert not model.objects.exists()


NO_ID = "no-id-at-all"


def test_a_client_that_can_be_none_is_none_chosen(acme: Client) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    browser = Browser()
    browser.force_login(root, "tenants.staff.RoleBackend")
    pages = [page.path for page in every_page(furnished(acme), acme)]
    looked = {path: browser.get(path, {"client": NO_ID}).status_code for path in pages if "?" not in path}
    assert {path for path, status in looked.items() if status >= 500} == set()
    assert looked["/admin/"] == looked["/admin/chat/supporthours/add/"] == 200
    sent = {path: browser.post(path, {"client": NO_ID}) for path in pages if path.endswith("/add/")}
    assert {path for path, answer in sent.items() if answer.status_code >= 500} == set()
    assert b"is not a valid UUID" in sent["/admin/chat/supporthours/add/"].content
    role = {"staff_member-TOTAL_FORMS": 1, "staff_member-INITIAL_FORMS": 0, "staff_member-0-client": NO_ID}
    assert b"is not a valid UUID" in browser.post(f"/admin/auth/user/{root.pk}/change/", role).content


def test_domains_are_written_one_a_line(acme: Client) -> None:
    browser, page = browser_of("sue", StaffMember.Role.SUPPORT), f"/admin/tenants/client/{acme.pk}/change/"
    form = {"name": acme.name, "alert_threshold": 80}
    written = "example.com\r\n\r\n  *.example.org \r\n"
    assert browser.post(page, {**form, "allowed_domains": written}).status_code == 302
    acme.refresh_from_db()
    assert acme.allowed_domains == ["example.com", "*.example.org"]
    assert ">example.com\n*.example.org</textarea>" in browser.get(page).content.decode()
    refused = browser.post(page, {**form, "allowed_domains": "fine.example\nnot a domain"}).content.decode()
    assert "“not a domain” is not a domain such as example.com" in refused
    assert ">fine.example\nnot a domain</textarea>" in refused
    assert browser.post(page, {**form, "allowed_domains": ""}).status_code == 302
    acme.refresh_from_db()
    assert acme.allowed_domains == []


def test_a_role_for_one_client_names_it(acme: Client) -> None:
    person = User.objects.create_user("pam", password=PASSWORD)
    page = f"/admin/auth/user/{person.pk}/change/"
    browser = browser_of("root", is_superuser=True)
    form = {"username": "pam", "is_active": "on", "date_joined_0": "2026-01-01", "date_joined_1": "00:00",
            "staff_member-TOTAL_FORMS": 1, "staff_member-INITIAL_FORMS": 0,
            "staff_member-0-role": "client"}  # fmt: skip
    assert b"Choose the client whose staff this is." in browser.post(page, form).content
    assert browser.post(page, {**form, "staff_member-0-client": acme.pk})["Location"] == "/admin/auth/user/"
    with unscoped("the test looks at a person's role"):
        [member] = StaffMember.objects.filter(user=person, user__is_staff=True)
    assert (member.role, member.client_id) == ("client", acme.pk)
    emptied = {"staff_member-INITIAL_FORMS": 1, "staff_member-0-id": member.pk, "staff_member-0-user": person.pk}
    assert b"Choose the client whose staff this is." in browser.post(page, {**form, **emptied}).content
