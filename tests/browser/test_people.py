"""Anybody can use it: by keyboard, with a screen reader's rules kept, in seven languages, small, dark or plain."""

import threading

import pytest

from tests.browser.conftest import KEY, Site
from tests.browser.service import Answer
from tests.browser.test_answers import TEXT, boots, words

IDEAS = ["How long do I have to return boots?", "Do you ship to Norway?"]
LONG = Answer(
    [
        "You have **60 days** from delivery to return boots, as long as they are unworn [1].\n\n",
        "1. Fill in the form that came with the parcel\n2. Put the boots in their box\n3. Send both to us [2]\n\n",
        "| Item | Days | Return |\n| --- | --- | --- |\n| Boots | 60 | free |\n| Tents | 30 | €4.90 |\n\n",
        "More at https://acme.example/returns. Quote `RETURN-60`.\n\n```\nRETURN-60\n```",
    ],
    boots().sources,
)


def walk(site: Site, name: str) -> list[str]:
    """Through every state of the chat, with a screenshot of each; returns what axe-core found wrong."""
    found: list[str] = []

    def state(step: str) -> None:
        site.shot(f"{name}-{step}")
        found.extend(f"{step}: {problem}" for problem in site.axe())

    gate = threading.Event()
    site.launcher.wait_for()
    state("1-closed")
    site.open()
    state("2-open")
    site.ask(IDEAS[0], Answer(LONG.pieces, LONG.sources, gate=gate))
    site.last.locator("strong").wait_for()
    state("3-streaming")
    gate.set()
    site.finished()
    state("4-answered")
    site.page.locator(".cite").first.click()
    state("5-source")
    site.page.keyboard.press("Escape")
    site.page.locator(".head .tool").first.click()
    state("6-menu")
    site.page.locator(".menu button").last.click()
    state("7-erase")
    site.page.keyboard.press("Escape")
    site.ask("?", Answer([], error=(503, "SERVICE_UNAVAILABLE", "x", {}))).finished()
    state("8-failed")
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state(new_site: object, theme: str) -> None:
    site = new_site(color_scheme=theme)
    site.service.widget = {"suggestedQuestions": IDEAS, "widgetName": "Acme Outdoor", "primaryColor": "#1f6f54"}
    site.visit(css=":root { color-scheme: light dark }")
    assert walk(site, theme) == []


@pytest.mark.parametrize("colour", ["#ffffff", "#000000", "#ffd400", "#3b82f6", "#767676", "#ff5fa2"])
def test_text_on_and_in_any_brand_colour_is_legible(site: Site, colour: str) -> None:
    site.service.widget = {"suggestedQuestions": IDEAS, "primaryColor": colour}
    for theme in ("light", "dark"):
        site.visit(theme=theme, css="body { background: #fff }").open().ask("Boots?", boots()).finished()
        site.shot(f"colour-{colour[1:]}-{theme}")
        assert site.axe() == []
        site.page.evaluate("ChatConnect.close().then(() => localStorage.clear())")


FOCUSED = """(() => {
  let node = document.activeElement
  while (node.shadowRoot) node = node.shadowRoot.activeElement
  return node.getAttribute('aria-label') || node.textContent || node.id
})()"""


def test_the_keyboard_alone_does_everything(new_site: object) -> None:
    site = new_site(permissions=["clipboard-read", "clipboard-write"])
    keys = site.page.keyboard
    site.visit()
    site.launcher.wait_for()
    site.page.locator("#own").focus()
    keys.press("Tab")
    assert site.page.evaluate(FOCUSED) == "Open chat"
    keys.press("Enter")
    assert site.page.evaluate(FOCUSED) == "Your question"
    site.service.answers.append(boots())
    keys.type("Boots?")
    keys.press("Enter")
    site.finished()
    stops = []
    for _ in range(12):
        keys.press("Tab")
        stops.append(site.page.evaluate(FOCUSED))
    whole = ["More options", "Close chat", "Support", "Source 1: Returns and refunds.pdf", "Source 2: Care guide.docx"]
    chips = ["1Returns and refunds.pdf", "2Care guide.docx", "Copy answer", "Helpful", "Not helpful", "Your question"]
    assert stops == [*whole, *chips, "More options"], "the focus stays in the dialog and passes everything in it"
    for _ in range(3):
        keys.press("Tab")
    keys.press("Enter")
    assert site.page.evaluate(FOCUSED) == "Close chat"  # the card's own close button
    assert site.page.locator(".card").count() == 1
    keys.press("Escape")
    assert site.page.evaluate(FOCUSED) == "Source 1: Returns and refunds.pdf"
    for _ in range(4):
        keys.press("Tab")
    keys.press("Enter")
    site.page.locator(".i-copied").wait_for()
    assert site.page.evaluate("navigator.clipboard.readText()").startswith(
        "You can send unworn boots back within 60 days."
    )
    keys.press("Escape")
    assert site.panel.is_hidden()
    assert site.page.evaluate(FOCUSED) == "Open chat"
    site.page.locator("#own").focus()
    site.page.evaluate("ChatConnect.open()")
    keys.press("Escape")
    assert site.page.evaluate("document.activeElement.id") == "own", "the focus goes back to where it came from"


LANGUAGES = {
    "en": "Ask a question…",
    "de-AT": "Stellen Sie eine Frage …",
    "fr": "Posez une question…",
    "es-MX": "Haga una pregunta…",
    "pt-BR": "Faça uma pergunta…",
    "ar": "اطرح سؤالًا…",
    "ja": "質問を入力…",
    "tlh": "Ask a question…",
}


def test_the_pages_language_is_spoken(site: Site) -> None:
    seen = {}
    for lang in LANGUAGES:
        site.visit(lang=lang).open()
        seen[lang] = site.input.get_attribute("placeholder")
        site.shot(f"language-{lang}")
    assert seen == LANGUAGES
    site.visit(lang="ja", locale="fr", texts={"send": "Hop"}, welcomeMessage="Salut").open()
    assert site.input.get_attribute("placeholder") == LANGUAGES["fr"]
    assert site.page.get_by_role("button", name="Hop").count() == 1
    assert site.last.inner_text().endswith("Salut")


def test_right_to_left(site: Site) -> None:
    site.service.widget = {"suggestedQuestions": ["ما مدة إرجاع الأحذية؟"], "primaryColor": "#7a1f5c"}
    site.visit(lang="ar", position="bottom-left")
    arabic = Answer(["يمكنك إرجاع الأحذية خلال **60 يومًا** [1].\n\n- احتفظ بالعلبة\n- أرفق النموذج"], boots().sources)
    site.service.answers.append(arabic)
    site.open()
    site.page.get_by_role("button", name="ما مدة إرجاع الأحذية؟").click()
    site.finished()
    site.page.locator(".cite").first.click()
    site.shot("rtl")
    assert site.axe() == []
    box = site.page.locator(".me p").bounding_box()
    panel = site.panel.bounding_box()
    assert box["x"] - panel["x"] < panel["width"] / 2, "what the visitor says stands at the end of the line: left"


def test_a_phone_gets_the_whole_screen(new_site: object) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    site = new_site(**phone, reduced_motion="reduce")
    site.service.widget = {"suggestedQuestions": IDEAS, "primaryColor": "#1f6f54", "widgetName": "Acme Outdoor"}
    site.visit()
    site.launcher.tap()
    assert site.panel.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    small = site.inside(
        """[...root.querySelectorAll('.panel button')].filter((node) => {
          const {width, height} = node.getBoundingClientRect()
          return width && (width < 44 || height < 44)
        }).map((node) => node.outerHTML)"""
    )
    assert small == []
    site.shot("phone-open")
    site.ask(IDEAS[0], Answer(LONG.pieces, LONG.sources)).finished()
    site.shot("phone-answered")
    assert site.axe() == []
    site.page.set_viewport_size({"width": 390, "height": 440})  # the on-screen keyboard takes its half
    site.page.wait_for_timeout(100)
    box = site.page.locator("form").bounding_box()
    assert box["y"] + box["height"] <= 440
    site.shot("phone-keyboard")


def test_zoomed_to_200_per_cent_nothing_is_cut_off(new_site: object) -> None:
    site = new_site(viewport={"width": 640, "height": 360}, device_scale_factor=2)
    site.visit().open().ask("Boots?", Answer(LONG.pieces, LONG.sources)).finished()
    site.shot("zoom-200")
    assert site.axe() == []
    for part in (".head", ".log", "form"):
        box = site.page.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 640 and box["y"] >= 0 and box["y"] + box["height"] <= 360
    assert site.page.locator(".log").bounding_box()["height"] > 150
    assert site.page.evaluate("document.documentElement.scrollWidth") == 640


def test_forced_colours_and_reduced_motion(new_site: object) -> None:
    site = new_site(forced_colors="active", reduced_motion="reduce", color_scheme="dark")
    gate = threading.Event()
    site.visit().open().ask("Boots?", boots(gate=gate))
    site.last.get_by_text("You can send").wait_for()
    assert site.inside("root.getAnimations().length") == 0
    gate.set()
    site.finished()
    site.page.get_by_role("button", name="Not helpful").click()
    site.shot("forced-colours")
    assert site.axe() == []


def test_the_conversation_is_there_again_and_can_be_left_or_erased(site: Site) -> None:
    site.visit().open().ask("Boots?", boots()).finished()
    session = site.page.evaluate("Object.values(localStorage).map(JSON.parse)[0]")
    trace = site.service.given.popitem()[0]
    site.service.messages = [
        {"traceId": trace, "role": "visitor", "message": "Boots?"},
        {
            "traceId": trace,
            "role": "assistant",
            "message": "".join(boots().pieces),
            "sources": boots().sources,
            "rating": "up",
        },
    ]
    site.visit()
    site.page.locator(".chip").first.wait_for()  # it was open, so it is open again, with its history
    assert words(site) == TEXT
    assert site.page.get_by_role("button", name="Helpful", exact=True).get_attribute("aria-pressed") == "true"
    site.page.get_by_role("button", name="Not helpful").click()
    site.page.locator("[aria-live=polite]", has_text="Thank you").wait_for(state="attached")
    assert site.service.seen("POST", f"/api/widget/messages/{trace}/feedback")[0]["body"] == {"rating": "down"}

    site.page.get_by_role("button", name="More options").click()
    site.page.get_by_role("button", name="Delete my data").click()
    site.page.get_by_role("alertdialog").get_by_role("button", name="Delete my data").click()
    site.page.get_by_text("Your data has been deleted.").wait_for()
    (erased,) = site.service.seen("DELETE", "/api/widget/sessions/")
    assert erased["path"].endswith(session["id"])
    assert site.page.evaluate("localStorage.length") == 0
    assert site.page.locator(".me").count() == 0

    site.ask("Tents?", boots()).finished()
    first = site.service.seen("POST", "/api/widget/chat/stream")[-1]["body"]["sessionId"]
    site.page.get_by_role("button", name="More options").click()
    site.page.get_by_role("button", name="New conversation").click()
    site.ask("Again?", boots()).finished()
    assert (
        len({session["id"], first, site.service.seen("POST", "/api/widget/chat/stream")[-1]["body"]["sessionId"]}) == 3
    )


def test_an_old_session_is_forgotten(site: Site) -> None:
    old = '{"id": "x", "token": "y", "until": 1, "running": {"at": 1}}'
    site.visit(embed="")
    site.page.evaluate("([key, value]) => localStorage.setItem(key, value)", [f"ChatConnect:{KEY}", old])
    site.visit().open()
    site.ask("Boots?", boots()).finished()
    assert site.service.seen("POST", "/api/widget/chat/stream")[0]["body"]["sessionId"] != "x"
    assert site.service.seen("GET", "/api/widget/sessions/") == []


def test_blocked_storage_costs_only_the_memory_across_pages(site: Site) -> None:
    blocked = """<script>for (const name of ['localStorage', 'sessionStorage'])
      Object.defineProperty(window, name, {get() { throw new Error('blocked') }})</script>"""
    html = site.html().replace("<main>", blocked + "<main>")
    site.service.page("/blocked", html)
    site.page.goto(site.shop + "/blocked")
    site.open().ask("Boots?", boots(cut_after=3)).finished()
    assert words(site) == TEXT
    assert site.page.get_by_role("button", name="Helpful", exact=True).count() == 1
