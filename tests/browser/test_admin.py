"""The desk in a real browser: the main paths of each of its pages, light and dark. No page may complain of anything."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.desk import Desk, desk_served
from tests.flows.product import Product

QUESTION = "How long do I have to return boots?"
HOURS = b"Our shop in Leeds is open on Sundays from ten to four.\n\nParking is free behind the building.\n"
MORE_HOURS = b"Our shop in Leeds is open on Sundays from eleven to five.\n\nParking is free behind the building.\n"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with desk_served(tmp_path_factory.mktemp("desk")) as product:
        yield product


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def at_desk(browser: Browser, product: Product, theme: str) -> Iterator[Any]:
    """Makes a person at the desk, logged in; at the end nothing may have been complained of."""
    made: list[Desk] = []

    def make(name: str, **options: Any) -> Desk:
        made.append(Desk(browser, product, theme, **options))
        return made[-1].log_in(name)

    yield make
    for desk in made:
        desk.context.close()
        assert desk.complaints == []


def open_client(desk: Desk, name: str = "Acme Outdoor") -> Desk:
    desk.go("/admin/tenants/client/").link(name).click()
    desk.page.wait_for_url("**/change/**")
    desk.page.wait_for_load_state("networkidle")
    return desk


def open_document(desk: Desk, name: str) -> Desk:
    desk.go("/admin/knowledge/document/").link(name).click()
    desk.page.wait_for_url("**/change/**")
    return desk


def cell(row: Locator, number: int) -> str:
    return row.locator("td").nth(number).inner_text()


def test_the_dashboard_is_filtered_by_client_and_period(at_desk: Any) -> None:
    desk = at_desk("admin")
    page = desk.page
    titles = page.locator(".desk-charts h2").all_inner_texts()
    assert titles == [
        "Answers", "Answers from the cache", "Tokens", "Model cost", "Slowest hour's 95th percentile", "Errors",
        "Not answered by the documents",
    ]  # fmt: skip
    assert page.locator(".desk-chart").first.locator("g").count() == 30
    assert desk.panel("Near a limit this hour").locator("a").all_inner_texts() == ["Hobby Garden", "Café Olé"]
    assert "scanned-price-list.pdf" in desk.panel("Documents that failed").inner_text()
    assert "503 Service Unavailable" in desk.panel("Callbacks that could not be delivered").inner_text()
    expect(page.locator(".desk-card").first).to_contain_text("Revenue of")
    desk.shot("dashboard")
    assert desk.axe() == []

    page.get_by_role("combobox", name="Client").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("birch")
    page.get_by_role("option", name="Birch & Daughters").click()
    expect(page.get_by_role("combobox", name="Client")).to_contain_text("Birch & Daughters")
    page.get_by_label("Period").select_option("7")
    desk.button("Show").click()
    page.wait_for_url("**days=7*")
    assert page.locator(".desk-legend").inner_text().strip() == "Birch & Daughters"
    assert page.locator(".desk-chart").first.locator("g").count() == 7
    page.get_by_text("The same by day").click()
    expect(desk.panel("By client, last 7 days").locator("details tbody tr")).to_have_count(7)
    desk.shot("dashboard-one-client")


@pytest.mark.parametrize("name", ["sue", "bill", "olga"])
def test_each_role_has_its_own_dashboard(at_desk: Any, name: str) -> None:
    desk = at_desk(name)
    text = desk.page.locator("#main").inner_text()
    desk.shot(f"dashboard-{name}")
    money = {word for word in ("Revenue", "Model cost", "$") if word in text}
    assert money == ({"Revenue", "Model cost", "$"} if name == "bill" else set())
    assert ("Birch & Daughters" in text) == (name != "olga")
    assert ("Callbacks" in text) == (name == "sue")


def test_a_support_person_works_on_a_clients_page(at_desk: Any, theme: str) -> None:
    desk = open_client(at_desk("sue"))
    page = desk.page
    links = page.locator(".desk-links a").all_inner_texts()
    assert [name for name in links if name in ("Keys", "Invoices")] == []
    for tab in ("Domains", "Answers", "Limits"):
        page.get_by_role("button", name=tab, exact=True).press("Enter")
        desk.shot(f"client-{tab.lower()}")
    assert "Price of each" not in page.locator("#content").inner_text()
    desk.button("Answers").click()
    page.locator("[name=no_answer_text]").fill(f"Please ask the team ({theme}).")
    desk.button("Save and continue editing").click()
    page.get_by_text("was changed successfully").wait_for()

    preview = page.frame_locator("iframe.desk-preview")
    page.locator("iframe.desk-preview").scroll_into_view_if_needed()
    preview.locator(".panel").wait_for()
    desk.panel("Ask as this client").locator("input[name=question]").fill(QUESTION)
    desk.button("Ask").click()
    answer = page.locator("#answer")
    answer.get_by_text("Passages that were found").wait_for()
    assert "days" in answer.locator(".said").inner_text()
    assert re.search(r"[01]\.\d\d · returns-and-shipping\.pdf", answer.inner_text())
    assert "$" not in answer.inner_text()
    desk.shot("client")
    assert desk.axe() == []


def test_a_key_is_made_copied_rotated_and_revoked(at_desk: Any, theme: str) -> None:
    desk = at_desk("admin")
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_client(desk, "Fjord Ferries")
    page = desk.page
    page.get_by_label("Name", exact=True).last.fill(f"site {theme}")
    desk.button("Make the key").click()
    page.locator("#new-key").wait_for()
    key = page.locator("#new-key").inner_text()
    desk.button("Copy the key").click()
    desk.button("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == key
    assert key in page.locator("#snippet").inner_text()
    assert desk.axe() == []
    page.locator("#new-key").evaluate("(node) => (node.textContent = 'pk_live_shown-once')")
    page.locator("#snippet").evaluate("(node, key) => (node.textContent = node.textContent.replace(key, '…'))", key)
    desk.shot("key-made")
    page.get_by_role("link", name=re.compile("I have copied it")).click()
    row = desk.panel("Keys").locator("tbody tr").filter(has_text=f"site {theme}")
    assert key not in page.content()
    row.get_by_role("button", name="Rotate").click()
    page.locator("#new-key").wait_for()
    page.reload()
    page.get_by_role("heading", name=re.compile("was shown once")).wait_for()
    desk.shot("key-shown")
    page.get_by_role("link", name=re.compile("Back to")).click()
    row.filter(has_text="in use").get_by_role("button", name="Revoke").click()
    row.filter(has_text="revoked").wait_for()
    assert row.filter(has_text="until").count() == 1
    desk.panel("Keys").scroll_into_view_if_needed()
    desk.shot("client-keys")


def test_the_widgets_preview_follows_the_form(at_desk: Any) -> None:
    desk = open_client(at_desk("sue"))
    desk.link("Change its look").click()
    page = desk.page
    preview = page.frame_locator("iframe[data-preview]")
    preview.get_by_text("Hi! Ask me about our boots").wait_for()
    page.locator("[name=welcome_message]").fill("Ahoy, ask away!")
    preview.get_by_text("Ahoy, ask away!").wait_for()
    desk.shot("widget")
    assert desk.axe() == []


def test_who_was_logged_out_is_told_so(at_desk: Any, product: Product) -> None:
    desk = open_client(at_desk("sue"))
    page = desk.page
    told = "You have been logged out. Reload the page and log in again."
    asked, upload = page.url, f"{product.url}/admin/knowledge/document/add/?client={page.url.split('/')[-3]}"
    desk.context.clear_cookies(name="sessionid")
    desk.panel("Ask as this client").locator("input[name=question]").fill(QUESTION)
    desk.button("Ask").click()
    expect(page.locator("#answer")).to_have_text(told)
    page.reload()
    desk.log_in_here("sue")
    assert page.url == asked
    page.goto(upload)
    desk.context.clear_cookies(name="sessionid")
    page.set_input_files("#desk-file", [{"name": "hours.txt", "mimeType": "text/plain", "buffer": HOURS}])
    expect(page.locator("#desk-files tr")).to_contain_text(told)


def test_a_long_word_hides_nothing_of_a_list(at_desk: Any, product: Product) -> None:
    word = "https://example.com/" + "x" * 200
    assert product.json("POST", "/api/widget/chat", {"message": word}, x_api_key=product.widget_key)[0] == 200
    desk = at_desk("sue").go("/admin/chat/message/?role__exact=visitor")
    page = desk.page
    row = page.locator("#result_list tr").filter(has_text=word[:40]).first
    assert row.get_by_role("link", name="open").bounding_box()["x"] < 1300
    desk.shot("messages")
    page.set_viewport_size({"width": 390, "height": 844})
    cell = row.locator(".field-said")
    assert cell.evaluate("(cell) => [cell.scrollWidth - cell.clientWidth, cell.scrollHeight - cell.clientHeight]") == [
        0,
        0,
    ]
    desk.shot("messages-small")
    row.get_by_role("link", name="open").click()
    page.get_by_text("Watch live").wait_for()
    assert re.search(r"\d+ \w{3} 20\d\d, \d\d:\d\d:\d\d", page.locator(".desk-turn.visitor .facts").first.inner_text())
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_files_are_dropped_and_followed(at_desk: Any, theme: str) -> None:
    desk = at_desk("sue").go("/admin/knowledge/document/add/")
    page = desk.page
    page.locator(".desk-choose [role=combobox]").click()
    page.keyboard.type("grün")
    page.get_by_role("option", name="Grünwald Optik").click()
    files = {f"hours-{theme}.txt": HOURS.decode() + theme, f"prices-{theme}.csv": f"item,price\nlens,{len(theme)}\n",
             "song.mp3": "la la"}  # fmt: skip
    transfer = page.evaluate_handle(
        "(files) => { const t = new DataTransfer();"
        " for (const [name, text] of Object.entries(files)) t.items.add(new File([text], name));"
        " t.items.add(new File(['%PDF-1.7 ' + 'x'.repeat(2e6)], 'large.pdf'));"
        " t.items.add(new File(['x'.repeat(16e6)], 'huge.txt')); return t }",
        files,
    )
    page.dispatch_event(".desk-drop", "dragover", {"dataTransfer": transfer})
    desk.shot("upload")
    page.dispatch_event(".desk-drop", "drop", {"dataTransfer": transfer})
    rows = page.locator("#desk-files tr")
    expect(rows).to_have_count(5)
    expect(rows.nth(0)).to_contain_text("Ready", timeout=60_000)
    expect(rows.nth(1)).to_contain_text("Ready", timeout=60_000)
    expect(rows.nth(2)).to_contain_text("Only PDF, DOCX, TXT and CSV")
    expect(rows.nth(3)).to_contain_text("The PDF is damaged", timeout=60_000)
    expect(rows.nth(4)).to_contain_text("The request is too large.")
    assert rows.nth(0).locator("progress").evaluate("(bar) => bar.value") == 100
    desk.shot("upload-done")
    assert desk.axe() == []
    refusals = re.compile(" 41[35] ")  # the browser notes them itself
    desk.complaints[:] = [said for said in desk.complaints if not refusals.search(said)]

    desk.go("/admin/knowledge/document/?status=failed")
    listed = page.locator("#result_list tbody tr")
    assert (listed.count(), listed.filter(has_text="large.pdf").count()) == (2, 1)
    desk.go("/admin/knowledge/document/").shot("documents")
    for name in [*list(files)[:2], "large.pdf"]:
        page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").check()
    page.locator("select[name=action]").select_option("erase")
    desk.button("Run").click()
    page.get_by_text("Erase 3 documents?").wait_for()
    desk.shot("erase")
    desk.button("Erase").click()
    page.get_by_text("is erased").first.wait_for()
    assert page.locator(".desk h2").count() == 3
    desk.shot("receipt")
    assert desk.axe() == []


def test_a_document_gets_a_new_version_and_is_looked_into(at_desk: Any, theme: str) -> None:
    desk = at_desk("sue")
    page = desk.page
    open_document(desk, "returns-and-shipping.pdf")
    page.get_by_placeholder("As a visitor would ask it").fill(QUESTION)
    desk.button("Score the passages").click()
    scored = page.locator("#scores")
    scored.get_by_text(re.compile("place 1 ·")).wait_for()
    assert re.search(r"^[01]\.\d\d · place 1 · passage \d+ · page \d", scored.inner_text(), re.MULTILINE)
    desk.shot("document")
    assert desk.axe() == []
    desk.button("Reindex").click()
    page.get_by_text("passages are indexed anew").wait_for()

    desk.go("/admin/knowledge/document/add/")
    page.locator(".desk-choose [role=combobox]").click()
    page.keyboard.type("elm")
    page.get_by_role("option", name="Elm Street Dental").click()
    name = f"sunday-{theme}.txt"
    page.locator("#desk-file").set_input_files(
        {"name": name, "mimeType": "text/plain", "buffer": HOURS + theme.encode()}
    )
    page.get_by_role("link", name=name).click()
    versions = page.locator("#versions tbody tr")
    expect(versions.first).to_contain_text("Ready", timeout=60_000)
    later = {"name": name, "mimeType": "text/plain", "buffer": MORE_HOURS + theme.encode()}
    page.locator("#desk-file").set_input_files(later)
    expect(versions).to_have_count(2, timeout=60_000)
    page.get_by_text("Version 2 answers visitors.").wait_for(timeout=60_000)
    assert [cell(versions.nth(n), 0) for n in (0, 1)] == ["2", "1"]
    assert "eleven to five" in desk.page.locator("#passages").inner_text()
    desk.shot("document-versions")
    page.locator("#desk-file").set_input_files(later)
    page.get_by_text("the content that the document has already").wait_for()
    desk.complaints[:] = [said for said in desk.complaints if "409" not in said]
    desk.button("Erase").click()
    page.get_by_text("is erased").wait_for()


def test_a_failed_document_is_processed_again(at_desk: Any) -> None:
    desk = open_document(at_desk("sue"), "scanned-price-list.pdf")
    versions = desk.page.locator("#versions tbody tr")
    before = versions.count()
    desk.button("Process again").click()
    expect(versions).to_have_count(before + 1)  # what is said of it lasts only until it has failed again
    expect(versions.first).to_contain_text("Failed", timeout=60_000)
    desk.shot("document-failed")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("clients", "/admin/tenants/client/"), ("users", "/admin/auth/user/"), ("keys", "/admin/tenants/apikey/"),
        ("audit", "/admin/tenants/auditevent/"), ("callbacks", "/admin/knowledge/callback/"),
        ("usage", "/admin/billing/usagehour/"), ("plans", "/admin/billing/plan/"),
        ("invoices", "/admin/billing/invoice/"), ("passages", "/admin/knowledge/chunk/"),
        ("two-factor", "/admin/two-factor/"), ("new-user", "/admin/auth/user/add/"),
    ],
)  # fmt: skip
def test_every_other_page_opens_without_complaint(at_desk: Any, name: str, path: str) -> None:
    at_desk("admin").go(path).shot(name)


def test_the_desk_works_by_keyboard_and_on_a_phone(at_desk: Any) -> None:
    desk = at_desk("sue", viewport={"width": 390, "height": 844})
    page = desk.page
    desk.shot("phone-dashboard")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    open_client(desk)
    desk.shot("phone-client")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("input[name=question]").focus()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    page.locator("#answer .said").wait_for()
    page.keyboard.press("Tab")
    focused = "getComputedStyle(document.activeElement)"
    assert page.evaluate(f"document.activeElement.textContent + {focused}.outlineStyle") == "Asksolid"
