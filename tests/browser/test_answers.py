"""From a question to a cited answer, and what happens when the network breaks on the way."""

import threading
import time

from tests.browser.conftest import Site
from tests.browser.service import Answer

SOURCES = [
    {
        "documentId": "returns", "title": "Returns and refunds.pdf", "page": 3, "score": 0.83, "chunkIndex": 4,
        "excerpt": "We want you to be happy. Unworn boots may be sent back within 60 days of delivery. Keep the box.",
    },
    {"documentId": "care", "title": "Care guide.docx", "excerpt": "Brush, then wax.", "score": 0.5, "chunkIndex": 1},
]  # fmt: skip
PIECES = [
    "You can send ",
    "unworn boots back ",
    "within **60 days** [1].",
    "\n\n- Keep the ",
    "box [2]\n",
    "- Wax them [7]",
]
TEXT = "You can send unworn boots back within 60 days.\nKeep the box\nWax them [7]"


def boots(**options: object) -> Answer:
    return Answer(list(PIECES), SOURCES, **options)  # type: ignore[arg-type]


def words(site: Site) -> str:
    lines = (" ".join(line.split()) for line in site.text().splitlines())
    return "\n".join(line for line in lines if line).replace(" .", ".")


def test_an_answer_streams_in_and_cites_its_sources(site: Site) -> None:
    gate = threading.Event()
    site.visit().open().ask("Boots?", boots(gate=gate))
    site.last.get_by_text("You can send").wait_for()  # seen while the rest is not yet written
    assert site.page.get_by_role("button", name="Stop the answer").is_visible()
    gate.set()
    site.finished()
    assert words(site) == TEXT  # [7] names no source, so it stays text
    assert site.page.locator(".chip").all_inner_texts() == ["1\nReturns and refunds.pdf", "2\nCare guide.docx"]
    site.page.get_by_role("button", name="Source 1: Returns and refunds.pdf").click()
    card = site.page.get_by_role("group", name="Source 1: Returns and refunds.pdf")
    assert "Page 3" in card.inner_text()
    assert card.locator("mark").inner_text().strip() == "Unworn boots may be sent back within 60 days of delivery."
    body = site.service.seen("POST", "/api/widget/chat/stream")[0]["body"]
    assert body["message"] == "Boots?"
    assert body["metadata"]["pageUrl"] == site.shop + "/"


def test_line_separators_of_other_alphabets_are_text_like_any(site: Site) -> None:
    """U+2028 and its like end a line for a regular expression, not for an event stream."""
    site.visit().open().ask("Boots?", Answer(["Sixty\u2028days, ", "\u2029or more\x85 👟."], SOURCES)).finished()
    assert "Sixty\u2028days, \u2029or more\x85 👟." in site.last.inner_text()
    assert site.service.seen("GET", "/api/widget/chat/stream/") == []  # nothing had to be asked for again


def test_a_cut_stream_goes_on_where_it_stopped(site: Site) -> None:
    site.visit().open().ask("Boots?", boots(cut_after=4))
    site.finished()
    assert words(site) == TEXT
    (resumed,) = site.service.seen("GET", "/api/widget/chat/stream/")
    assert resumed["headers"]["last-event-id"] == "4"
    assert len(site.service.seen("POST", "/api/widget/chat")) == 1


def test_a_running_answer_is_followed_on_the_next_page(site: Site) -> None:
    gate = threading.Event()
    site.visit().open().ask("Boots?", boots(gate=gate))
    site.last.get_by_text("You can send").wait_for()
    site.visit("/second")
    site.last.get_by_text("You can send").wait_for()
    assert site.page.locator(".me").inner_text().endswith("Boots?")
    assert site.page.evaluate("document.activeElement === document.body"), "the focus stays with the page"
    gate.set()
    site.finished()
    assert words(site) == TEXT
    assert len(site.service.seen("POST", "/api/widget/chat")) == 1


def test_where_streams_break_one_plain_request_brings_the_same_answer(site: Site) -> None:
    site.visit().open().ask("Boots?", boots(broken_stream=True))
    site.finished()
    assert words(site) == TEXT
    streamed, plain = site.service.seen("POST", "/api/widget/chat")
    assert (streamed["path"], plain["path"]) == ("/api/widget/chat/stream", "/api/widget/chat")
    assert streamed["headers"]["idempotency-key"] == plain["headers"]["idempotency-key"]
    site.ask("And tents?", boots()).finished()
    assert site.service.seen("POST", "/api/widget/chat")[-1]["path"] == "/api/widget/chat", "this network is remembered"


def test_a_stopped_answer_keeps_what_was_written(site: Site) -> None:
    site.visit().open().ask("Boots?", boots(gate=threading.Event()))
    site.last.get_by_text("You can send").wait_for()
    site.page.get_by_role("button", name="Stop the answer").click()
    site.finished()
    assert words(site) == "You can send"
    assert "Stopped." in site.last.inner_text()
    site.ask("And now?", boots()).finished()
    assert words(site) == TEXT


def test_limits_and_failures_are_told_in_words_and_can_be_retried(site: Site) -> None:
    limited = (429, "RATE_LIMITED", "Rate limit exceeded.", {"Retry-After": "720"})
    site.visit().open().ask("Boots?", Answer([], error=limited)).finished()
    assert "There are too many questions at the moment. Please try again in 12 minutes." in site.last.inner_text()
    site.shot("limit")
    assert site.axe() == []
    site.service.answers.append(Answer(["Half of"], failure=("LLM_ERROR", "provider said 500")))
    site.page.get_by_role("button", name="Try again").click()
    site.finished()
    assert "Half of" in site.last.inner_text()
    assert "Something went wrong on our side. Please try again." in site.last.inner_text()
    site.service.answers.append(boots())
    site.page.get_by_role("button", name="Try again").click()
    site.finished()
    assert words(site) == TEXT
    assert site.page.locator(".me").count() == 1
    asked = site.service.seen("POST", "/api/widget/chat")
    assert len({request["headers"]["idempotency-key"] for request in asked}) == 1, "billed once, whatever failed"


def test_a_stopped_answer_is_asked_for_anew(site: Site) -> None:
    """Under its key the service would repeat the half of it."""
    for failure in (("TIMEOUT", "The answer was stopped."), ("SERVICE_UNAVAILABLE", "The answer was interrupted.")):
        site.service.requests.clear()
        site.visit().open().ask("Boots?", Answer(["Half of"], failure=failure)).finished()
        site.service.answers.append(boots())
        site.page.get_by_role("button", name="Try again").click()
        site.finished()
        assert words(site) == TEXT
        first, second = (r["headers"]["idempotency-key"] for r in site.service.seen("POST", "/api/widget/chat"))
        assert (first == second) is (failure[0] != "TIMEOUT")
        site.page.evaluate("localStorage.clear()")


def test_offline_is_said_and_the_question_can_be_sent_again(site: Site) -> None:
    site.visit().open()
    site.context.set_offline(True)
    site.page.get_by_role("status").get_by_text("You are offline.").wait_for()
    site.ask("Boots?").finished()
    assert "Please check your network" in site.last.inner_text()
    site.shot("offline")
    assert site.axe() == []
    site.context.set_offline(False)
    site.service.answers.append(boots())
    site.page.get_by_role("button", name="Try again").click()
    site.finished()
    assert words(site) == TEXT


def test_a_screen_reader_hears_sentences_not_tokens(site: Site) -> None:
    text = "Boots may come back within 60 days. They cost 4.90 euros [1]! Tents too, within 30 days."
    site.visit().open()
    site.inside(
        """{
          window.heard = []
          const hear = (changes) => changes.forEach(({addedNodes}) => heard.push(addedNodes[0].textContent))
          new MutationObserver(hear).observe(root.querySelector('[aria-live=polite]'), {childList: true})
        }"""
    )
    # Slow enough that a busy machine does not read two sentences in one go, which would be told together.
    site.ask("Boots?", Answer([text[i : i + 3] for i in range(0, len(text), 3)], SOURCES, pause=0.05)).finished()
    heard = site.page.evaluate("heard")
    assert heard[0] == "Writing an answer…"
    assert heard[1:] == ["Boots may come back within 60 days.", "They cost 4.90 euros!", "Tents too, within 30 days."]


def test_the_page_is_not_held_up(site: Site) -> None:
    """Before the first open: script, style and layout of the main thread together under 10 ms."""
    cost = []
    for _ in range(4):
        site.visit()
        site.launcher.wait_for()
        time.sleep(0.1)
        with_widget = _main_thread(site)
        site.visit("/plain", embed="")
        cost.append(with_widget - _main_thread(site))
    assert min(cost) < 0.010, cost


def _main_thread(site: Site) -> float:
    session = site.context.new_cdp_session(site.page)
    session.send("Performance.enable")
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return sum(metrics[name] for name in ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration"))
