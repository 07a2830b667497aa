"""The real product with a desk full of work, and a person of a role before it in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page

from tests.browser.conftest import SHOTS, axe_of
from tests.flows.product import Product, served

PASSWORD = "a password of these tests"


@contextmanager
def desk_served(directory: Path) -> Iterator[Product]:
    """The product with its demo client, its documents read, and the rows of `desk_rows`."""
    with served(directory, ADMIN_PASSWORD=PASSWORD) as product:
        product.wait_until("/health", lambda body: body["queueSize"] == 0)
        code = f"from tests.browser.desk_rows import fill; fill({PASSWORD!r})"
        done = product.manage("shell", "-v", "0", "-c", code)
        assert done.returncode == 0, done.stderr
        yield product


class Desk:
    """Somebody at the desk. Whatever the browser complains of is recorded, and judged at the end."""

    def __init__(self, browser: Browser, product: Product, theme: str, **options: Any):
        self.product, self.theme = product, theme
        settings = {"viewport": {"width": 1360, "height": 900}, "color_scheme": theme, "locale": "en-GB", **options}
        self.context = browser.new_context(**settings)
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error}\n{error.stack}"))
        self.page.on("dialog", lambda dialog: dialog.accept())

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning") or "Policy" in message.text:
            self.complaints.append(f"{message.type}: {message.text} {message.location}")

    def log_in(self, name: str) -> "Desk":
        self.page.goto(f"{self.product.url}/admin/login/?next=/admin/")
        return self.log_in_here(name)

    def log_in_here(self, name: str) -> "Desk":
        """With the form that is on the page, which leads on to where it says."""
        self.page.fill("[name=username]", name)
        self.page.fill("[name=password]", PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(lambda url: "/login/" not in url)
        return self

    def go(self, path: str) -> "Desk":
        response = self.page.goto(self.product.url + path, wait_until="networkidle")
        assert response is not None and response.status == 200, (path, response and response.status)
        return self

    def link(self, name: str) -> Locator:
        return self.page.locator("#main").get_by_role("link", name=name, exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def panel(self, heading: str) -> Locator:
        """The part of the page with this heading."""
        return self.page.locator("section").filter(has=self.page.get_by_role("heading", name=heading, exact=True))

    def shot(self, name: str) -> "Desk":
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"desk-{name}-{self.theme}.png", full_page=True, animations="disabled")
        return self

    def axe(self) -> list[str]:
        """What axe-core finds wrong in our own parts of the page; the theme's are its makers'."""
        return axe_of(self.page, ".desk")
