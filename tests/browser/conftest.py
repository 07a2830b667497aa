"""A real Chromium, one for all browser tests, and a site that embeds the widget from another origin."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.browser.service import KEY, Answer, Service, serving

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none",
)  # fmt: skip
expect.set_options(timeout=20_000)  # a page saved on a busy machine; what was never saved is still missed
SHOTS = Path(settings.BASE_DIR) / "var" / "screenshots"

# A page of the site: text, a control, and the pair of script tags that a customer pastes.
PAGE = """<!doctype html><html lang="{lang}"><head><title>Shop</title><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{css}</style></head>
<body style="font-family: sans-serif"><main><h1>Tents and boots</h1><p>For every weather.</p>
<button id="own">Basket</button></main>{embed}</body></html>"""
EMBED = """<script>window.ChatConnectConfig = {config};</script>
<script src="{host}/widget/v2/widget.js" async></script>"""


def chromium() -> str:
    """The browser's path. A newcomer without one skips these tests and is told so; in CI they fail, never skip."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found:
        return found
    assert "CI" not in os.environ, "the browser tests need Chromium: apt-get install chromium"
    pytest.skip("the browser tests need Chromium (apt-get install chromium)")


# Playwright keeps an event loop in this thread, and Django refuses the database there: so it ends with this package.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def servers() -> Iterator[tuple[Service, str, str]]:
    """The service's script, its address, and the address of the site that embeds it."""
    os.environ["NO_PROXY"] = "*"
    service = Service()
    with serving(service) as host, serving(service) as shop:
        yield service, host, shop


class Site:
    """A visitor on a page of the site. Everything that happens in the page is recorded, and judged at the end."""

    def __init__(self, context: BrowserContext, service: Service, host: str, shop: str):
        self.context, self.service, self.host, self.shop = context, service, host, shop
        self.page: Page = context.new_page()
        self.console: list[str] = []
        self.errors: list[str] = []
        self.urls: list[str] = []
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))
        context.on("request", lambda request: self.urls.append(request.url))

    def html(self, *, lang: str = "en", css: str = "", embed: str | None = None, **config: Any) -> str:
        parts = ", ".join(f"{name}: {_script_value(value)}" for name, value in config.items())
        text = f"{{apiKey: '{KEY}', baseUrl: '{self.host}'{', ' + parts if parts else ''}}}"
        tags = EMBED.format(config=text, host=self.host) if embed is None else embed
        return PAGE.format(lang=lang, css=css, embed=tags)

    def inside(self, expression: str) -> Any:
        """The value of a JavaScript expression in which `root` is the widget's shadow root."""
        return self.page.evaluate(f"((root) => {expression})(document.documentElement.lastElementChild.shadowRoot)")

    def visit(self, path: str = "/", headers: dict[str, str] | None = None, **options: Any) -> "Site":
        self.service.page(path, self.html(**options), headers)
        self.page.goto(self.shop + path)
        return self

    @property
    def launcher(self) -> Locator:
        return self.page.locator(".launcher")

    @property
    def panel(self) -> Locator:
        return self.page.locator(".panel")

    @property
    def input(self) -> Locator:
        return self.page.locator("textarea")

    @property
    def last(self) -> Locator:
        return self.page.locator(".bot").last

    def open(self) -> "Site":
        """Open the chat; on a later page of a visit it may be open already."""
        self.launcher.wait_for(state="attached")
        if self.launcher.is_visible():
            self.launcher.click()
        self.panel.wait_for()
        return self

    def ask(self, question: str, answer: Answer | None = None) -> "Site":
        if answer:
            self.service.answers.append(answer)
        self.input.fill(question)
        self.input.press("Enter")
        return self

    def finished(self) -> "Site":
        """Wait until the running answer has ended."""
        self.page.locator(".send .i-send").wait_for(timeout=15_000)
        return self

    def text(self) -> str:
        return self.last.locator(".body").inner_text()

    def shot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")

    def axe(self) -> list[str]:
        """What axe-core finds wrong in the page as it is, best-practice rules included."""
        return axe_of(self.page)


@pytest.fixture
def new_site(browser: Browser, servers: tuple[Service, str, str]) -> Iterator[Any]:
    """Makes a Site in a fresh context of its own; keyword arguments are the context's."""
    service, host, shop = servers
    service.reset()
    made: list[Site] = []

    def make(**options: Any) -> Site:
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 760}, "locale": "en-GB", **options})
        context.set_default_timeout(8_000)
        made.append(Site(context, service, host, shop))
        return made[-1]

    yield make
    for site in made:
        urls, errors, own = list(site.urls), list(site.errors), (site.host, site.shop, "data:")
        site.context.close()
        assert errors == []
        assert [url for url in urls if not url.startswith(own)] == [], "a request to somebody else"


@pytest.fixture
def site(new_site: Any) -> Site:
    return new_site()


def _script_value(value: Any) -> str:
    return json.dumps(value)


def axe_of(page: Page, part: str = "") -> list[str]:
    """What axe-core finds wrong in the page, or in the elements that a selector names."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe_source())
    found = page.evaluate(f"axe.run({json.dumps(part) if part else 'document'}, {{resultTypes: ['violations']}})")
    return [f"{v['id']}: {n['html']} {n['failureSummary']}" for v in found["violations"] for n in v["nodes"]]


def _axe_source() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
