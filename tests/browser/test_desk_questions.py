"""The desk's pages about questions in a real browser, on the real product: gaps, question sets, conversations."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import SHOTS, _axe_source
from tests.flows.product import Product, served

PASSWORD = "a password of these tests"
SHIPPING = "Yes, we ship to Norway. Delivery of an order to Norway takes six days and costs 12 euros."
CSV = "question,expected,answerable\nHow long do I have to return boots?,60 days,yes\nWho won the chess cup?,,no\n"
SECONDS = 60_000  # a busy machine takes its time to read a document


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with served(tmp_path_factory.mktemp("questions")) as product:
        product.wait_until("/health", lambda body: body["queueSize"] == 0)
        done = product.manage("shell", "-c", f"from tests.browser.question_rows import fill; fill({PASSWORD!r})")
        assert done.returncode == 0, done.stderr
        yield product


class Desk:
    """Sue at her desk. What goes wrong in a page is recorded, and judged at the end."""

    def __init__(self, browser: Browser, product: Product, **options: Any):
        self.url = product.url
        self.context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", **options)
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(f"{self.page.url}: {error}"))
        self.page.on("console", lambda m: self.wrong.append(m.text) if "Policy" in m.text else None)
        self.page.on("response", lambda r: self.wrong.append(r.url) if r.status >= 500 else None)
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.go("/admin/login/?next=/admin/chat/gap/")
        self.page.fill("[name=username]", "sue")
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("[type=submit]")
        self.page.wait_for_url("**/admin/chat/gap/")

    def go(self, path: str) -> None:
        self.page.goto(path if path.startswith("http") else self.url + path)

    def see(self, text: str) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=SECONDS)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def shot(self, name: str) -> None:
        """A picture of the whole page, and what axe finds wrong in our part of it."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"desk-{name}.png", full_page=True, animations="disabled")
        if not self.page.locator(".desk").count():
            return
        self.page.evaluate(_axe_source())
        found = self.page.evaluate("axe.run('.desk', {resultTypes: ['violations']})")
        self.wrong += [f"{name}: {v['id']}: {n['html']}" for v in found["violations"] for n in v["nodes"]]


@pytest.fixture
def desk(browser: Browser, product: Product) -> Iterator[Desk]:
    desk = Desk(browser, product)
    yield desk
    desk.context.close()
    assert desk.wrong == []


def grouped(desk: Desk) -> None:
    """Wait until the questions are in their groups: it happens by itself, or at once when asked for."""
    sort = desk.page.get_by_role("button", name=re.compile("new questions? now"))
    if sort.count():
        desk.shot("gaps-new")
        sort.click()
    for _ in range(60):
        if desk.page.get_by_role("link", name="do you take paypal").count():
            return
        desk.page.wait_for_timeout(1000)
        desk.go("/admin/chat/gap/")
    raise AssertionError("the questions were not grouped")


def test_a_gap_is_found_answered_and_resolved(desk: Desk) -> None:
    grouped(desk)
    desk.shot("gaps")
    first = desk.page.locator("#result_list tbody tr").first
    expect(first).to_contain_text(re.compile("norway", re.IGNORECASE))
    expect(first).to_contain_text("3")
    first.get_by_role("link").first.click()
    desk.see("What visitors asked")
    desk.shot("gap-open")
    desk.page.get_by_label("Question").fill("Do you ship to Norway?")
    desk.page.get_by_label("Answer").fill(SHIPPING)
    desk.press("Publish the answer")
    desk.see("Asked again: 3 of 3 questions are answered from it now.")
    desk.shot("gap-answered")
    desk.page.get_by_role("link", name="See its document").click()
    desk.see("written by sue")
    desk.page.get_by_role("link", name="visitors' questions").click()
    desk.page.get_by_role("link", name="conversation").first.click()
    expect(desk.page).to_have_url(re.compile("/admin/chat/session/"))
    desk.go("/admin/chat/gap/?q=camper")
    desk.page.locator("#result_list tbody").get_by_role("link").first.click()
    desk.press("Dismiss")
    desk.see("no longer shown here")
    desk.go("/admin/chat/gap/?state=dismissed")
    expect(desk.page.locator("#result_list tbody tr")).to_have_count(1)
    desk.go("/admin/chat/gap/?q=nothing+of+this+kind")
    desk.shot("gaps-none")


def test_a_question_set_is_filled_run_and_compared(desk: Desk, tmp_path: Path) -> None:
    desk.go("/admin/chat/questionset/")
    desk.shot("question-sets-none")
    demo = demo_of(desk)
    desk.go("/admin/chat/questionset/add/")
    desk.shot("question-set-add")
    desk.page.evaluate(
        """(id) => { const s = document.querySelector('[name=client]');
        s.add(new Option('demo', id, true, true)); s.value = id }""",
        demo,
    )
    desk.page.fill("[name=name]", "Before the spring sale")
    desk.page.get_by_role("button", name="Save", exact=True).click()
    desk.see("No questions yet.")
    desk.shot("question-set-empty")
    desk.page.get_by_label("Question", exact=True).fill("Do you sell tents?")
    desk.page.get_by_label("Expected").fill("tent")
    desk.press("Add")
    file = tmp_path / "questions.csv"
    file.write_text(CSV, encoding="utf-8")
    desk.page.set_input_files("[name=file]", file)
    desk.press("Import")
    desk.see("The set has 3 questions now.")
    for number in (1, 2):
        desk.press("Run 3 questions")
        if number == 1:
            desk.shot("run-under-way")
        expect(desk.page.get_by_role("heading", name="Figures")).to_be_visible(timeout=SECONDS)
        if number == 1:
            desk.page.locator(".desk").get_by_role("link", name="Before the spring sale").click()
    desk.shot("run-compared")
    desk.page.get_by_role("link", name="Not as it should be").click()
    desk.page.locator(".desk").get_by_role("link", name="Before the spring sale").click()
    desk.shot("question-set")
    with desk.page.expect_download() as download:
        desk.page.get_by_role("link", name="Export").click()
    assert Path(download.value.path()).read_text("utf-8").splitlines()[1:] == [
        "Do you sell tents?,tent,yes", "How long do I have to return boots?,60 days,yes", "Who won the chess cup?,,no"
    ]  # fmt: skip


def demo_of(desk: Desk) -> str:
    """The demo client's id, as the list of clients links it."""
    desk.go("/admin/tenants/client/?q=Acme")
    link = desk.page.locator("#result_list").get_by_role("link", name="Acme Outdoor").get_attribute("href")
    found = re.search(r"[0-9a-f-]{36}", link or "")
    assert found
    return found[0]


def test_a_conversation_is_found_read_exported_and_erased(desk: Desk) -> None:
    desk.go("/admin/chat/session/")
    desk.shot("conversations")
    desk.go("/admin/chat/session/?with=slow")
    expect(desk.page.locator("#result_list tbody tr")).to_have_count(1)
    desk.page.locator("#result_list tbody").get_by_role("link").first.click()
    desk.see("That was not my question.")
    desk.page.get_by_text("1 source").click()
    desk.see("Boots go back within 60 days.")
    desk.shot("transcript")
    for name in ("Export JSON", "CSV"):
        with desk.page.expect_download() as download:
            desk.page.get_by_role("link", name=name, exact=True).click()
        assert "return boots" in Path(download.value.path()).read_text("utf-8")
    desk.press("Erase this visitor")
    desk.see("The visitor is erased")
    desk.shot("visitor-erased")
    desk.go("/admin/chat/session/?with=slow")
    expect(desk.page.locator("#result_list tbody tr")).to_have_count(0)


def test_the_pages_are_as_readable_in_the_dark(browser: Browser, product: Product, desk: Desk) -> None:
    """After the other tests: what they made is looked at again, and how long it is kept is set."""
    dark = Desk(browser, product, color_scheme="dark")
    pages = {
        "gaps-all": "/admin/chat/gap/?state=all",
        "sets": "/admin/chat/questionset/",
        "talks": "/admin/chat/session/",
    }
    for name, path in pages.items():
        dark.go(path)
        dark.shot(f"dark-{name}")
        link = dark.page.locator("#result_list tbody").get_by_role("link").first
        link.click()
        dark.page.locator(".desk-panel").first.wait_for()
        dark.shot(f"dark-{name}-page")
    dark.go("/admin/chat/evaluationrun/")
    dark.page.locator("#result_list tbody").get_by_role("link").first.click()
    dark.page.locator(".desk-panel").first.wait_for()
    dark.shot("dark-run")
    dark.context.close()
    assert dark.wrong == []
    desk.go("/admin/tenants/client/")
    desk.page.locator("#result_list tbody").get_by_role("link").first.click()
    retention = desk.page.locator("#retention")
    retention.get_by_label("Days", exact=True).fill("90")
    retention.get_by_role("button", name="Save").click()
    expect(desk.page.locator("#retention")).to_contain_text("90 days")
    desk.page.locator("#retention").screenshot(path=SHOTS / "desk-retention.png")
