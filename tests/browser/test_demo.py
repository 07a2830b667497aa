"""The demo page of the real product, as a newcomer meets it: nothing here is canned."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Site
from tests.flows.product import Product, served

QUESTION = "How long do I have to return boots?"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with served(tmp_path_factory.mktemp("demo")) as product:
        product.wait_until("/health", lambda body: body["queueSize"] == 0)  # the demo's documents have been read
        yield product


def test_a_visitor_asks_sees_the_source_comes_back_and_leaves_nothing_behind(product: Product, new_site: Any) -> None:
    site: Site = new_site(viewport={"width": 1280, "height": 800})
    site.host = site.shop = product.url
    site.page.goto(product.url)
    site.launcher.wait_for()
    site.shot("demo-closed")
    assert site.axe() == []
    site.open().ask(QUESTION)
    site.page.locator(".chip").first.wait_for(timeout=30_000)
    site.finished()
    answer = site.text()
    assert "days" in answer
    site.shot("demo-answered")
    site.page.locator(".cite").first.click()
    site.page.locator(".card blockquote").wait_for()
    site.shot("demo-source")
    assert site.axe() == []
    site.page.get_by_role("button", name="Helpful", exact=True).click()
    site.page.locator("[aria-live=polite]", has_text="Thank you").wait_for(state="attached")

    site.page.goto(product.url)
    site.page.locator(".chip").first.wait_for()
    assert (site.text(), site.page.locator("[aria-pressed=true]").count()) == (answer, 1)
    site.page.get_by_role("button", name="More options").click()
    site.page.get_by_role("button", name="Delete my data").click()
    site.page.get_by_role("alertdialog").get_by_role("button", name="Delete my data").click()
    site.page.get_by_text("Your data has been deleted.").wait_for()
    site.page.goto(product.url)
    site.input.wait_for()
    assert site.page.locator(".me").count() == 0


def test_an_answer_is_followed_to_the_next_page_on_the_real_service(product: Product, new_site: Any) -> None:
    site: Site = new_site()
    site.host = site.shop = product.url
    site.page.goto(product.url)
    site.open()
    site.page.evaluate("(question) => { ChatConnect.ask(question); location.reload() }", QUESTION)
    site.page.locator(".chip").first.wait_for(timeout=30_000)
    site.finished()
    assert site.page.locator(".me").count() == 1
    assert "days" in site.text()
