"""The desk's pages about questions in a real browser, on the real product: gaps, question sets, conversations."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import SHOTS
from tests.browser.desk import PASSWORD, Desk
from tests.flows.product import Product, served

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


@pytest.fixture
def desk(browser: Browser, product: Product) -> Iterator[Desk]:
    """Sue, of the support staff; at the end nothing may have been complained of."""
    desk = Desk(browser, product, "light").log_in("sue")
    yield desk
    desk.context.close()
    assert desk.complaints == []


def look(desk: Desk, name: str) -> None:
    """A picture of the whole page; what axe finds wrong in our part of it is complained of."""
    desk.shot(name)
    if desk.page.locator(".desk").count():
        desk.complaints += [f"{name}: {found}" for found in desk.axe()]


def see(desk: Desk, text: str) -> None:
    expect(desk.page.get_by_text(text).first).to_be_visible(timeout=SECONDS)


def grouped(desk: Desk) -> None:
    """Wait until the questions are in their groups: it happens by itself, or at once when asked for."""
    sort = desk.page.get_by_role("button", name=re.compile("new questions? now"))
    if sort.count():
        look(desk, "gaps-new")
        sort.click()
    for _ in range(60):
        if desk.page.get_by_role("link", name="do you take paypal").count():
            return
        desk.page.wait_for_timeout(1000)
        desk.go("/admin/chat/gap/")
    raise AssertionError("the questions were not grouped")


def test_a_gap_is_found_answered_and_resolved(desk: Desk) -> None:
    grouped(desk)
    look(desk, "gaps")
    first = desk.page.locator("#result_list tbody tr").first
    expect(first).to_contain_text(re.compile("norway", re.IGNORECASE))
    expect(first).to_contain_text("3")
    first.get_by_role("link").first.click()
    see(desk, "What visitors asked")
    look(desk, "gap-open")
    desk.page.get_by_label("Question").fill("Do you ship to Norway?")
    desk.page.get_by_label("Answer").fill(SHIPPING)
    desk.button("Publish the answer").click()
    see(desk, "Asked again: 3 of 3 questions are answered from it now.")
    look(desk, "gap-answered")
    desk.page.get_by_role("link", name="See its document").click()
    see(desk, "written by sue")
    desk.page.get_by_role("link", name="visitors' questions").click()
    desk.page.get_by_role("link", name="conversation").first.click()
    expect(desk.page).to_have_url(re.compile("/admin/chat/session/"))
    desk.go("/admin/chat/gap/?q=camper")
    desk.page.locator("#result_list tbody").get_by_role("link").first.click()
    desk.button("Dismiss").click()
    see(desk, "no longer shown here")
    desk.go("/admin/chat/gap/?state=dismissed")
    expect(desk.page.locator("#result_list tbody tr")).to_have_count(1)
    desk.go("/admin/chat/gap/?q=nothing+of+this+kind")
    look(desk, "gaps-none")


def test_a_question_set_is_filled_run_and_compared(desk: Desk, tmp_path: Path) -> None:
    desk.go("/admin/chat/questionset/")
    look(desk, "question-sets-none")
    demo = demo_of(desk)
    desk.go("/admin/chat/questionset/add/")
    look(desk, "question-set-add")
    desk.page.evaluate(
        """(id) => { const s = document.querySelector('[name=client]');
        s.add(new Option('demo', id, true, true)); s.value = id }""",
        demo,
    )
    desk.page.fill("[name=name]", "Before the spring sale")
    desk.button("Save").click()
    see(desk, "No questions yet.")
    look(desk, "question-set-empty")
    desk.page.get_by_label("Question", exact=True).fill("Do you sell tents?")
    desk.page.get_by_label("Expected").fill("tent")
    desk.button("Add").click()
    file = tmp_path / "questions.csv"
    file.write_text(CSV, encoding="utf-8")
    desk.page.set_input_files("[name=file]", file)
    desk.button("Import").click()
    see(desk, "The set has 3 questions now.")
    for number in (1, 2):
        desk.button("Run 3 questions").click()
        if number == 1:
            look(desk, "run-under-way")
        expect(desk.page.get_by_role("heading", name="Figures")).to_be_visible(timeout=SECONDS)
        if number == 1:
            desk.page.locator(".desk").get_by_role("link", name="Before the spring sale").click()
    look(desk, "run-compared")
    desk.page.get_by_role("link", name="Not as it should be").click()
    desk.page.locator(".desk").get_by_role("link", name="Before the spring sale").click()
    look(desk, "question-set")
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
    look(desk, "conversations")
    desk.go("/admin/chat/session/?with=slow")
    expect(desk.page.locator("#result_list tbody tr")).to_have_count(1)
    desk.page.locator("#result_list tbody").get_by_role("link").first.click()
    see(desk, "That was not my question.")
    desk.page.get_by_text("1 source").click()
    see(desk, "Boots go back within 60 days.")
    look(desk, "transcript")
    for name in ("Export JSON", "CSV"):
        with desk.page.expect_download() as download:
            desk.page.get_by_role("link", name=name, exact=True).click()
        assert "return boots" in Path(download.value.path()).read_text("utf-8")
    desk.button("Erase this visitor").click()
    see(desk, "The visitor is erased")
    look(desk, "visitor-erased")
    desk.go("/admin/chat/session/?with=slow")
    expect(desk.page.locator("#result_list tbody tr")).to_have_count(0)


def test_the_pages_are_as_readable_in_the_dark(browser: Browser, product: Product, desk: Desk) -> None:
    """After the other tests: what they made is looked at again, and how long it is kept is set."""
    dark = Desk(browser, product, "dark").log_in("sue")
    pages = {
        "gaps-all": "/admin/chat/gap/?state=all",
        "sets": "/admin/chat/questionset/",
        "talks": "/admin/chat/session/",
    }
    for name, path in pages.items():
        dark.go(path)
        look(dark, name)
        link = dark.page.locator("#result_list tbody").get_by_role("link").first
        link.click()
        dark.page.locator(".desk-panel").first.wait_for()
        look(dark, f"{name}-page")
    dark.go("/admin/chat/evaluationrun/")
    dark.page.locator("#result_list tbody").get_by_role("link").first.click()
    dark.page.locator(".desk-panel").first.wait_for()
    look(dark, "run")
    dark.context.close()
    assert dark.complaints == []
    desk.go("/admin/tenants/client/")
    desk.page.locator("#result_list tbody").get_by_role("link").first.click()
    retention = desk.page.locator("#retention")
    retention.get_by_label("Days", exact=True).fill("90")
    retention.get_by_role("button", name="Save").click()
    expect(desk.page.locator("#retention")).to_contain_text("90 days")
    desk.page.locator("#retention").screenshot(path=SHOTS / "desk-retention.png")
