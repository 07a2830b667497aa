"""Every address of the desk, with a person of every role: who gets in, and what of another client is seen."""

from typing import Any

from django.test import Client as Browser

from tenants.models import Client, StaffMember
from tests.config.desk import Page, browser_of, every_page, furnished, stored, visit
from tests.config.desk_table import MODELS, PAGES
from tests.isolation.rows import canary

VIEWS = {"changelist": 0, "change": 0, "history": 0, "add": 1, "delete": 2}
OPEN = {"login", "logout", "jsi18n"}  # to who works at the desk, with a role or without


def expected(name: str) -> str | None:
    """The letters of those who get in, superusers first; None for a page that the table does not have."""
    model, _, view = name.rpartition("_")
    letters = MODELS[model][VIEWS[view]] if model in MODELS and view in VIEWS else PAGES.get(name)
    return letters if letters is None else "" if letters == "-" else f"R{letters}"


def test_every_page_lets_in_whom_the_table_names(acme: Client, stranger: Client, own_data: Any) -> None:
    rows, _ = furnished(acme), furnished(stranger)
    people = {
        "R": browser_of("root", is_superuser=True),
        "S": browser_of("sue", StaffMember.Role.SUPPORT),
        "B": browser_of("bill", StaffMember.Role.BILLING),
        "C": browser_of("olga", StaffMember.Role.CLIENT, acme),
        "N": browser_of("new"),
    }
    pages = [page for page in every_page(rows, acme) if not page.name.startswith("admin/")]
    let_in = {page.name: "".join(who for who, browser in people.items() if _in(browser, page)) for page in pages}
    assert let_in == {page.name: expected(page.name) for page in pages}


def _in(browser: Browser, page: Page) -> bool:
    response = visit(browser, page, {"kind": "publishable"})
    assert response.status_code in (200, 302, 400, 403, 404), (page, response.status_code)
    return response.status_code != 403


def test_the_table_names_no_page_that_is_gone(acme: Client) -> None:
    names = {page.name for page in every_page(furnished(acme), acme)}
    assert set(PAGES) - names == set()
    assert {f"{model}_{view}" for model in MODELS for view in VIEWS} - names == set()


def test_a_clients_staff_neither_see_nor_change_anything_of_another_client(
    acme: Client, stranger: Client, own_data: Any
) -> None:
    rows, _ = furnished(acme), furnished(stranger)
    browser = browser_of("other", StaffMember.Role.CLIENT, stranger)
    before = stored(acme)
    asked = {"question": "x", "kind": "publishable", "document": rows_pk(rows), "client": str(acme.pk), "post": "yes",
             "answer": "x", "expected": "x", "name": "x", "days": "1", "time_zone": "UTC"}  # fmt: skip
    for page in every_page(rows, acme):
        for response in (_searched(browser, page), _posted(browser, page, asked)):
            assert response.status_code < 500, page
            shown = b"".join(response.streaming_content) if response.streaming else response.content
            for secret in (canary(acme), acme.name):
                assert secret not in shown.decode("utf-8", "replace"), (page, secret)
    assert stored(acme) == before


def rows_pk(rows: Any) -> str:
    return str(next(row.pk for model, row in rows.items() if model.__name__ == "Document"))


def _searched(browser: Browser, page: Page) -> Any:
    return browser.get(page.path, {} if "?" in page.path or page.about else {"q": "canary"})


def _posted(browser: Browser, page: Page, data: dict[str, str]) -> Any:
    """Posted wherever a row is named: what the desk does to rows. (Elsewhere it would end the session.)"""
    return browser.post(page.path, data) if page.about else browser.get(page.path, data)


def test_nobody_gets_in_without_logging_in(acme: Client) -> None:
    rows = furnished(acme)
    for page in every_page(rows, acme):
        response = Browser().get(page.path)
        open_to_all = (page.name in OPEN and response.status_code in (200, 405)) or page.name == "logout"
        assert open_to_all or response["Location"].startswith("/admin/login/"), page
