"""The widget is a guest on somebody else's page: it leaves no trace there and keeps its own face anywhere."""

import io

import pytest
from PIL import Image, ImageChops

from tests.browser.conftest import Site
from tests.browser.service import KEY, Answer
from tests.browser.test_answers import TEXT, boots, words

HOSTILE_CSS = """* { all: unset; display: block !important; position: static !important }
body { font-family: sans-serif }
*::before { content: 'x' !important; color: red !important }"""
STRICT = (
    "default-src 'none'; script-src {host}; connect-src {host}; style-src 'none';"
    "require-trusted-types-for 'script'; report-uri /csp"
)
LOAD = """([key, host]) => {
  window.ChatConnectConfig = {apiKey: key, baseUrl: host}
  const script = document.createElement('script')
  script.src = host + '/widget/v2/widget.js'
  script.onload = () => script.remove()
  document.head.append(script)
}"""
LISTEN = """{
  window.seen = []
  for (const name of ['open', 'close', 'question', 'answer'])
    ChatConnect.on(name, (detail) => seen.push([name, detail?.answer]))
}"""


def same(one: bytes, other: bytes) -> bool:
    a, b = (Image.open(io.BytesIO(data)).convert("RGB") for data in (one, other))
    return a.size == b.size and ImageChops.difference(a, b).getbbox() is None


def test_a_strict_policy_is_never_violated(site: Site) -> None:
    embed = f'<script src="{site.host}/widget/v2/widget.js" data-api-key="{KEY}" async></script>'
    html = site.html(embed=embed).replace("<style></style>", "").replace(' style="font-family: sans-serif"', "")
    site.service.page("/strict", html, {"Content-Security-Policy": STRICT.format(host=site.host)})
    site.page.goto(site.shop + "/strict")
    site.open().ask("Boots?", boots()).finished()
    assert words(site) == TEXT
    site.page.locator(".cite").first.click()
    site.page.get_by_role("button", name="More options").click()
    site.page.get_by_role("button", name="Delete my data").click()
    assert site.panel.bounding_box()["width"] == 400
    assert [line for line in site.console if "Security Policy" in line or "Trusted" in line] == []
    assert site.service.seen("POST", "/csp") == []


def test_the_page_is_pixel_equal_with_and_without_the_widget(new_site: object) -> None:
    for css in ("", HOSTILE_CSS, "body > :last-child { margin-bottom: 80px } body { display: grid; gap: 30px }"):
        site = new_site()
        clip = {"x": 0, "y": 0, "width": 600, "height": 760}
        site.visit("/plain", css=css, embed="")
        before = site.page.screenshot(clip=clip)
        extent = site.page.evaluate("[document.documentElement.scrollHeight, document.body.innerHTML.length]")
        site.visit("/plain", css=css, embed="")
        site.page.evaluate(LOAD, [KEY, site.host])
        site.launcher.wait_for()
        assert same(before, site.page.screenshot(clip=clip))
        site.open()
        assert same(before, site.page.screenshot(clip=clip))
        assert site.page.evaluate("[document.documentElement.scrollHeight, document.body.innerHTML.length]") == extent


def test_a_hostile_page_does_not_change_the_widget(new_site: object) -> None:
    faces = []
    for css in (
        "",
        HOSTILE_CSS + " html { font-size: 40px; line-height: 3; letter-spacing: 5px; text-transform: uppercase }",
    ):
        site = new_site(reduced_motion="reduce")
        site.visit(css=css).open().ask("Boots?", boots()).finished()
        site.page.locator(".chip").last.click()
        box = site.panel.bounding_box()
        clip = {"x": box["x"] + 6, "y": box["y"] + 6, "width": box["width"] - 12, "height": box["height"] - 12}
        faces.append(site.page.screenshot(clip=clip, animations="disabled", caret="hide"))
    assert same(*faces)


def test_one_global_no_cookie_and_nothing_of_the_page_is_taken_over(site: Site) -> None:
    site.visit("/plain", embed="")
    names = set(site.page.evaluate("Object.getOwnPropertyNames(window)"))
    site.visit().open().ask("Boots?", boots()).finished()
    after = set(site.page.evaluate("Object.getOwnPropertyNames(window)"))
    assert {n for n in after - names if not n.isdigit()} == {"ChatConnect", "ChatConnectConfig"}
    assert site.page.evaluate("[document.cookie, window.onmessage, history.length, history.state]") == [
        "",
        None,
        3,
        None,
    ]
    assert site.context.cookies() == []
    assert site.page.evaluate("Object.keys(localStorage)") == [f"ChatConnect:{KEY}"]


@pytest.mark.parametrize("fault", ["refused", "down", "no key", "no address", "twice"])
def test_misconfigured_or_without_its_server_it_says_one_line_and_stays_away(site: Site, fault: str) -> None:
    tag = f'<script src="{site.host}/widget/v2/widget.js" async></script>'
    embeds = {
        "no key": tag,
        "no address": f"<script>window.ChatConnectConfig = {{apiKey: '{KEY}', baseUrl: 'http://['}}</script>{tag}",
        "down": f"<script>window.ChatConnectConfig = {{apiKey: '{KEY}', baseUrl: 'http://127.0.0.1:9'}}</script>{tag}",
    }
    if fault == "refused":
        site.service.config_error = (403, "DOMAIN_NOT_ALLOWED", "This website is not allowed to use the chat.")
    if fault == "twice":
        site.visit()
        site.launcher.wait_for()
        site.page.add_script_tag(url=f"{site.host}/widget/v2/widget.js")
    else:
        site.visit(embed=embeds.get(fault))
    site.page.wait_for_function("performance.now() > 0")
    for _ in range(50):
        own = [line for line in site.console if "[ChatConnect]" in line]
        if own:
            break
        site.page.wait_for_timeout(50)
    assert len(own) == 1
    assert own[0].startswith("warning")
    hosts = site.page.evaluate("[...document.querySelectorAll('*')].filter((node) => node.shadowRoot).length")
    assert hosts == (1 if fault == "twice" else 0)
    site.urls = [url for url in site.urls if not url.startswith("http://127.0.0.1:9/")]


def test_it_waits_for_a_page_that_is_still_being_read(site: Site) -> None:
    """The script stands in the head, before another that keeps the body from being parsed."""
    site.service.page("/slow.js", "", {"Content-Type": "text/javascript", "X-Delay": "1"})
    embed = site.html().split("</main>")[1].split("</body>")[0]
    html = site.html(embed="").replace("<title>", embed + '<script src="/slow.js"></script><title>')
    site.service.page("/head", html)
    site.page.goto(site.shop + "/head")
    site.open()
    assert "sans-serif" in site.inside("getComputedStyle(root.querySelector('.panel')).fontFamily")


def test_the_old_embed_runs_the_same_widget_without_streaming(site: Site) -> None:
    embed = (
        f'<link rel="stylesheet" href="{site.host}/widget/v1/widget.css">'
        f"<script>window.ConferenceChatConfig = {{apiKey: '{KEY}', baseUrl: '{site.host}/api/widget'}};</script>"
        f'<script src="{site.host}/widget/v1/widget.js"></script>'
    )
    site.visit(embed=embed).open().ask("Boots?", boots()).finished()
    assert words(site) == TEXT
    assert [r["path"] for r in site.service.seen("POST", "/api/widget/chat")] == ["/api/widget/chat"]


def test_the_page_can_steer_it(site: Site) -> None:
    site.service.widget = {"primaryColor": "#ffd400", "position": "bottom-left", "launcherText": "Help"}
    site.visit(primaryColor="#aa0000")
    site.launcher.wait_for()
    assert site.inside("getComputedStyle(root.querySelector('.launcher')).backgroundColor") == "rgb(170, 0, 0)"
    assert site.launcher.bounding_box()["x"] == 20
    assert site.launcher.inner_text() == "Help"
    site.inside(LISTEN)
    site.service.answers.append(Answer(["Sixty days."]))
    site.page.evaluate("ChatConnect.ask('Boots?')")
    site.last.get_by_text("Sixty days.").wait_for()
    site.finished()
    wanted = {"primaryColor": "#00429d", "theme": "dark", "widgetName": "Desk", "locale": "de", "size": "large"}
    site.page.evaluate("(wanted) => ChatConnect.configure(wanted)", wanted)
    site.page.get_by_role("heading", name="Desk").wait_for()
    assert site.input.get_attribute("placeholder") == "Stellen Sie eine Frage …"
    assert "Sixty days." in site.last.inner_text()
    site.page.evaluate(
        "ChatConnect.configure({primaryColor: 'red; background: url(//evil.example)', position: 'middle'})"
    )
    site.page.evaluate("ChatConnect.close()")
    site.launcher.wait_for()
    assert site.page.evaluate("seen") == [
        ["open", None],
        ["question", None],
        ["answer", "Sixty days."],
        ["close", None],
    ]
    site.page.evaluate("ChatConnect.destroy()")
    site.launcher.wait_for(state="detached")
    assert site.page.evaluate("'ChatConnect' in window") is False
