"""Two browsers before the real product: a visitor in the widget, and somebody of the staff at the desk."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.conftest import Site
from tests.flows.product import Product, served

QUESTION = "How long do I have to return boots?"
PASSWORD = "a-password-of-the-tests"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    settings = {"ADMIN_PASSWORD": PASSWORD, "EMAIL_URL": "dummymail://", "TAKEOVER_SECONDS": "8"}
    with served(tmp_path_factory.mktemp("takeover"), **settings) as product:
        product.wait_until("/health", lambda body: body["queueSize"] == 0)
        yield product


def visitor(product: Product, new_site: Any, **options: Any) -> Site:
    """Somebody who has asked one question on the demo page."""
    site: Site = new_site(viewport={"width": 1100, "height": 800}, **options)
    site.host = site.shop = product.url
    site.context.set_default_timeout(30_000)
    site.page.goto(product.url)
    site.open().ask(QUESTION)
    site.page.locator(".chip").first.wait_for()
    return site.finished()


def staff(product: Product, new_site: Any, **options: Any) -> Site:
    """Somebody who has logged in and watches the newest conversation live."""
    site: Site = new_site(viewport={"width": 1280, "height": 900}, **options)
    site.host = site.shop = product.url
    site.context.set_default_timeout(30_000)
    page = site.page
    page.goto(product.url + "/admin/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/admin/")
    page.goto(product.url + "/admin/chat/session/")
    page.locator("#result_list a[href*='/change/']").first.click()
    page.get_by_role("link", name="Watch live").click()
    page.locator("#live-line", has_text="Live").wait_for()
    return site


def bar(page: Page, text: str) -> Locator:
    """What the widget says of people."""
    return page.locator(".people", has_text=text)


def troubles(site: Site) -> list[str]:
    """What axe-core finds at the desk, but for the landmarks, which are the admin theme's own matter."""
    return [found for found in site.axe() if not found.startswith(("landmark-one-main", "region"))]


def heard(page: Page, text: str) -> None:
    """A screen reader was told."""
    page.locator("[aria-live=polite]", has_text=text).wait_for(state="attached")


def test_a_conversation_is_watched_taken_over_and_handed_back(product: Product, new_site: Any) -> None:
    vera = visitor(product, new_site)
    ann = staff(product, new_site)
    page, desk = vera.page, ann.page
    assert QUESTION in desk.locator("#live-log").inner_text()
    page.get_by_role("button", name="Talk to a person").click()
    bar(page, "Somebody will be with you").wait_for()
    desk.get_by_text("The visitor is waiting for a person").wait_for()
    vera.shot("takeover-waiting")
    assert vera.axe() == []

    desk.get_by_role("button", name="Take over").click()
    bar(page, "You are talking to admin").wait_for()
    heard(page, "admin has joined")
    desk.locator("#live-text:focus").wait_for()
    desk.keyboard.type("Hello, this is <b>Ann</b>.")
    bar(page, "admin is typing").wait_for()
    vera.shot("takeover-typing")
    desk.keyboard.press("Enter")
    page.locator(".bot", has_text="Hello, this is <b>Ann</b>.").wait_for()
    heard(page, "Hello, this is <b>Ann</b>.")
    assert desk.locator("#live-text").input_value() == ""

    vera.ask("Can I return worn boots?").finished()
    desk.locator(".desk-turn.visitor", has_text="Can I return worn boots?").wait_for()
    assert page.locator(".bot", has_text="will answer you here personally").filter(visible=True).count() == 0
    desk.keyboard.type("Bring them along.")
    desk.keyboard.press("Enter")
    page.locator(".bot", has_text="Bring them along.").wait_for()
    vera.shot("takeover-visitor")
    ann.shot("takeover-staff")
    assert vera.axe() == [] and troubles(ann) == []

    page.reload()
    bar(page, "You are talking to admin").wait_for()
    said = page.locator(".log").inner_text()
    order = [said.index(words) for words in (QUESTION, "this is <b>Ann</b>", "worn boots?", "Bring them along.")]
    assert order == sorted(order) and said.count("Bring them along.") == 1

    desk.get_by_role("button", name="Hand back").click()
    heard(page, "admin has left")
    bar(page, "You are talking to admin").wait_for(state="detached")
    vera.ask("How do I care for leather boots?").finished()
    assert "leather" in vera.text().lower()
    desk.get_by_role("link", name="the whole transcript").click()
    told = desk.locator(".desk").inner_text()
    for words in ("asked for a person", "took the conversation over", "Bring them along.", "handed the conversation"):
        assert words in told
    ann.shot("takeover-transcript")
    vera.console.clear()


def test_a_person_whose_browser_is_gone_leaves_the_visitor_to_the_assistant(product: Product, new_site: Any) -> None:
    vera = visitor(product, new_site, color_scheme="dark")
    ann = staff(product, new_site, color_scheme="dark")
    ann.page.get_by_role("button", name="Take over").click()
    bar(vera.page, "You are talking to admin").wait_for()
    vera.shot("takeover-visitor-dark")
    ann.page.get_by_text("You have this conversation").wait_for()
    ann.shot("takeover-staff-dark")
    assert troubles(ann) == []
    ann.page.goto("about:blank")
    bar(vera.page, "You are talking to admin").wait_for(state="detached")
    vera.ask("How do I care for leather boots?").finished()
    assert "leather" in vera.text().lower()


def test_when_nobody_is_there_an_address_is_left(product: Product, new_site: Any) -> None:
    code = (
        "from chat.models import SupportHours; from tenants.scoping import unscoped\n"
        "with unscoped('the tests close every desk'):\n"
        "    SupportHours.objects.update(**dict.fromkeys(SupportHours.DAYS, ''))"
    )
    done = product.manage("shell", "-c", code)
    assert done.returncode == 0, done.stderr
    vera = visitor(product, new_site)
    page = vera.page
    page.get_by_role("button", name="Leave an e-mail address").click()
    field = page.locator("input[type=email]")
    field.fill("vera@nowhere")
    field.press("Enter")
    page.get_by_text("not an e-mail address").wait_for()
    vera.shot("takeover-address")
    assert vera.axe() == []
    field.fill("vera@example.org")
    field.press("Enter")
    bar(page, "We will write to you.").wait_for()
    ann = staff(product, new_site)
    ann.page.get_by_text("left an e-mail address: vera@example.org").wait_for()
    ann.page.goto(product.url + "/admin/chat/contact/")
    ann.page.get_by_text("vera@example.org").wait_for()
    ann.shot("takeover-addresses")
