"""What pages, browsers and visitors do that a chat is rarely tried with: hijacked keys, input methods, going back."""

import json
import threading
from typing import Any

from tests.browser.conftest import Site
from tests.browser.service import Answer
from tests.browser.test_answers import TEXT, boots, words

# A page's script sees an event in the chat as one of the host element, which is no field: so it takes keys for its
# shortcuts, wheels for its own scrolling, and a focus outside its dialog for one to be fetched back.
TAKES_OVER = """<script>
  for (const name of ['keydown', 'keyup', 'mousedown', 'paste', 'wheel'])
    document.addEventListener(name, ({target}) => target.tagName === 'DIV' && event.preventDefault(), {passive: false})
  document.addEventListener('focusin', (event) => event.target.id !== 'own' && document.querySelector('#own').focus())
</script>"""
POLLUTED = """<script>
  Object.prototype.extend = function () {}
  Object.prototype.onshow = 'no listener'
  Array.prototype.remove = function () {}
</script>"""


def on(site: Site, head: str, **options: Any) -> Site:
    """A visitor on a page that brings its own `head`."""
    html = site.html(**options)
    assert "<title>" in html
    site.service.page("/odd", html.replace("<title>", head + "<title>"))
    site.page.goto(site.shop + "/odd")
    return site


def test_a_page_that_takes_every_event_leaves_the_chat_its_own(site: Site) -> None:
    on(site, TAKES_OVER).open()
    site.page.evaluate("document.querySelector('#own').focus()")
    site.input.click()
    site.service.answers.append(Answer([f"Paragraph {n}.\n\n" for n in range(60)]))
    site.page.keyboard.type("Boots?")
    site.page.keyboard.press("Enter")
    site.finished()
    assert site.page.locator(".me").inner_text().endswith("Boots?")
    before = site.inside("root.querySelector('.log').scrollTop")
    site.page.locator(".log").hover()
    site.page.mouse.wheel(0, -300)
    site.page.wait_for_timeout(300)
    assert site.inside("root.querySelector('.log').scrollTop") < before


def test_a_page_that_adds_to_every_object(site: Site) -> None:
    on(site, POLLUTED, suggestedQuestions=["Boots?"]).open().ask("Boots?", boots()).finished()
    assert words(site) == TEXT


def test_the_picture_comes_from_the_pages_own_host_whatever_its_base(site: Site) -> None:
    site.service.page("/logo.png", "", {"Content-Type": "image/png"})
    on(site, '<base href="https://cdn.example/">', avatar="/logo.png").open()
    assert site.inside("root.querySelector('.avatar img').src") == site.shop + "/logo.png"


def test_a_double_click_sends_once_and_stops_nothing(site: Site) -> None:
    gate = threading.Event()
    site.visit().open()
    site.service.answers.append(boots(gate=gate))
    site.input.fill("Boots?")
    site.page.locator(".send").dblclick()
    site.last.get_by_text("You can send").wait_for()
    gate.set()
    site.finished()
    assert words(site) == TEXT
    assert site.page.locator(".trouble").count() == 0


def test_the_keys_of_an_input_method_send_and_close_nothing(site: Site) -> None:
    """Safari says of the Enter that ends a composition only by its code that it was the input method's."""
    site.visit().open().input.fill("にほん")
    for key, init in (("Enter", {"isComposing": True}), ("Enter", {"keyCode": 229}), ("Escape", {"isComposing": True})):
        event = json.dumps({"key": key, "bubbles": True, "cancelable": True, **init})
        site.inside(f"root.querySelector('textarea').dispatchEvent(new KeyboardEvent('keydown', {event}))")
    assert site.panel.is_visible()
    assert site.input.input_value() == "にほん"
    assert site.service.seen("POST", "/api/widget/chat") == []


def test_stop_is_heard_while_the_connection_is_being_made_anew(site: Site) -> None:
    answer = boots(cut_after=3)
    site.visit().open()
    site.page.route("**/chat/stream/*", lambda route: route.abort())
    site.ask("Boots?", answer)
    site.page.get_by_text("Connection lost. Reconnecting").wait_for()
    site.page.wait_for_timeout(4000)  # by now it waits for several seconds between two tries
    site.page.get_by_role("button", name="Stop the answer").click()
    site.page.locator(".trouble", has_text="Stopped.").wait_for(timeout=1000)


def test_who_goes_back_finds_the_conversation_as_it_is_now(site: Site) -> None:
    """The page is as it was left, but a later one has asked since."""
    site.visit().open().ask("Boots?", boots()).finished()
    first = next(iter(site.service.given.values()))
    site.service.messages = [
        {"traceId": first.trace_id, "role": "visitor", "message": "Boots?"},
        {"traceId": first.trace_id, "role": "assistant", "message": first.text, "sources": first.sources},
        {"traceId": "later", "role": "visitor", "message": "And tents?"},
        {"traceId": "later", "role": "assistant", "message": "Thirty days.", "sources": []},
    ]
    site.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    site.last.get_by_text("Thirty days.").wait_for()
    asked = [text.splitlines()[-1] for text in site.page.locator(".me").all_inner_texts()]
    assert asked == ["Boots?", "And tents?"]


def test_an_answer_that_ends_does_not_make_another_tabs_forgotten(site: Site) -> None:
    gates = threading.Event(), threading.Event()
    site.visit().open().ask("Boots?", boots(gate=gates[0]))
    site.last.get_by_text("You can send").wait_for()
    other = Site(site.context, site.service, site.host, site.shop)
    other.visit("/other").open()
    other.page.get_by_role("button", name="Stop the answer").click()
    other.finished().ask("Tents?", Answer(["Thirty ", "days, ", "unused."], gate=gates[1]))
    other.last.get_by_text("Thirty").wait_for()
    gates[0].set()
    site.finished()
    other.visit("/third")
    other.last.get_by_text("Thirty").wait_for()
    gates[1].set()
    other.finished()
    assert other.text() == "Thirty days, unused."
    assert len(site.service.seen("POST", "/api/widget/chat")) == 2


def test_what_is_being_asked_is_erased_too(site: Site) -> None:
    """Before its answer comes in one piece there is no token to erase it with."""
    site.visit(stream=False).open()
    site.page.route("**/api/widget/chat", lambda route: (site.page.wait_for_timeout(1500), route.continue_()))
    site.ask("Boots?", boots())
    site.page.get_by_role("button", name="More options").click()
    site.page.get_by_role("button", name="Delete my data").click()
    site.page.get_by_role("alertdialog").get_by_role("button", name="Delete my data").click()
    site.page.get_by_text("Your data has been deleted.").wait_for()
    assert len(site.service.seen("DELETE", "/api/widget/sessions/")) == 1


def test_what_appears_below_hides_nothing_of_the_end(site: Site) -> None:
    """The on-screen keyboard, a notice, the offer of a person: it gets lower, and its end stays in view."""
    site.visit().open().ask("Boots?", Answer([f"Paragraph {n}.\n\n" for n in range(60)])).finished()
    log = "root.querySelector('.log')"
    room = f"(({{scrollHeight, scrollTop, clientHeight}}) => scrollHeight - scrollTop - clientHeight)({log})"
    assert site.inside(room) < 2
    site.page.set_viewport_size({"width": 1100, "height": 480})
    site.page.wait_for_timeout(200)
    assert site.inside(room) < 2
    site.inside(f"{log}.scrollTo(0, 0)")
    site.page.wait_for_timeout(100)
    site.page.set_viewport_size({"width": 1100, "height": 460})
    site.page.wait_for_timeout(200)
    assert site.inside(f"{log}.scrollTop") == 0


def test_what_only_a_screen_reader_goes_to_moves_the_conversation_and_not_the_dialog(site: Site) -> None:
    site.visit().open().ask("Boots?", Answer([f"Paragraph {n}.\n\n" for n in range(60)])).finished()
    site.ask("Tents?", boots()).finished()
    site.inside("root.querySelector('.log').scrollTo(0, 0)")
    for said_by in reversed(site.page.locator(".turn .sr").all()):
        said_by.evaluate("(node) => node.scrollIntoView()")
        assert site.inside("root.querySelector('.panel').scrollTop") == 0


def test_numbers_that_take_turns_with_bullets_keep_their_count(site: Site) -> None:
    steps = "1. Pack it\n\n- in the box\n- with the form\n\n2. Send it\n   - by post\n3. Wait\n\n***Note:*** free."
    site.visit().open().ask("Boots?", Answer([steps])).finished()
    blocks = "[...root.querySelectorAll('.bot:last-child .body > *')]"
    shape = site.inside(f"{blocks}.map((node) => [node.tagName, node.start, node.innerText])")
    assert [[tag, start, text.split("\n")] for tag, start, text in shape] == [
        ["OL", 1, ["Pack it"]],
        ["UL", None, ["in the box", "with the form"]],
        ["OL", 2, ["Send it", "by post", "Wait"]],
        ["P", None, ["Note: free."]],
    ]


def test_lists_and_tables_of_an_answer_run_as_its_language_does(site: Site) -> None:
    arabic = "1. املأ النموذج\n2. أرسل الطرد إلى Acme Ltd.\n\n| المنتج | الأيام |\n| --- | --- |\n| حذاء | 60 |"
    english = "1. Fill in\n2. Post to أكمي\n\n| Item | Days |\n| --- | --- |\n| Boots | 60 |"
    last = "[...root.querySelectorAll('.body :is(ol, li, table)')].slice(-4)"
    for lang in ("en", "ar"):
        site.visit(lang=lang).open()
        for text, wanted in ((arabic, "rtl"), (english, "ltr")):
            site.ask("?", Answer([text])).finished()
            assert site.inside(f"{last}.map((node) => getComputedStyle(node).direction)") == [wanted] * 4
        site.page.evaluate("localStorage.clear()")
