"""Every page of ours works under its own content security policy: nothing is blocked, in the admin too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.flows.product import Product, served

PASSWORD = "a password of these tests"
ADMIN = ("/admin/", "/admin/tenants/client/", "/admin/tenants/client/add/", "/admin/chat/session/")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with served(tmp_path_factory.mktemp("policy"), ADMIN_PASSWORD=PASSWORD) as product:
        yield product


def test_no_page_is_hindered_by_its_own_policy(product: Product, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    policies = {}
    page.on("response", lambda r: policies.update({r.url: r.headers.get("content-security-policy", "")}))
    for path in ("/", "/api/docs"):
        page.goto(product.url + path, wait_until="networkidle")
        assert "default-src 'none'" in policies[product.url + path]
    page.goto(product.url + "/admin/login/?next=/admin/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    for path in ADMIN:
        page.goto(product.url + path, wait_until="networkidle")
        assert "default-src 'none'" in policies[product.url + path]
        assert page.evaluate("!!window.Alpine")
    page.screenshot(path=str(tmp_path / "admin.png"))
    page.close()
    assert complaints == []
