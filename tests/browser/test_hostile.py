"""An answer is text from strangers' documents: whatever it holds, at every prefix, nothing runs or is loaded."""
# ruff: noqa: E501 - hostile texts and markup are compared as they are

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat import widget
from tests.browser.conftest import Site
from tests.browser.service import Answer

SOURCES = Path(widget.__file__).parent / "v2"

HOSTILE = [
    "<script>pwned()</script><img src=x onerror=pwned()><svg onload=pwned()><iframe src=javascript:pwned()>",
    "![x](https://evil.example/a.png) ![y](//evil.example/b.png) [![z](https://evil.example/c.png)](https://evil.example)",
    "[a](javascript:pwned()) [b](JaVaScRiPt:pwned()) [c](java\tscript:pwned()) [d](data:text/html,<script>pwned()</script>)",
    "[e](vbscript:x) [f](\u0001javascript:pwned()) <javascript:pwned()> [g](blob:https://x/y) [h](file:///etc/passwd)",
    "**bold <b onclick=pwned()>x `code <script>pwned()</script> | a | b |\n| - | - |\n| <img src=x onerror=pwned()> | [x](javascript:1) |",
    "```html\n<script>pwned()</script>\n<img src=https://evil.example/x onerror=pwned()>",
    "> > > > > > > > > > deep\n" + "  " * 3 + "- a\n      - b\n          - [x](javascript:pwned())",
    "[1][2][99] [1](javascript:pwned()) [[1]](x) [] [](javascript:pwned()) ![](x)",
    "# " + "*" * 80 + "_" * 80 + "`" * 7 + "[" * 80 + "](" * 40,
    "<style>*{background:url(https://evil.example/s)}</style><link rel=stylesheet href=https://evil.example/l><base href=//evil.example>",
]
ALLOWED = {
    "A": {"href", "rel", "target"}, "P": {"dir", "class"}, "STRONG": set(), "EM": set(), "CODE": set(), "BR": set(),
    "PRE": {"dir", "tabindex"}, "UL": {"dir"}, "OL": {"dir", "start"}, "LI": set(), "SPAN": set(), "HR": set(),
    "BLOCKQUOTE": set(), "DIV": {"class", "tabindex"}, "TABLE": {"dir"}, "THEAD": set(), "TBODY": set(), "TR": set(),
    "TH": set(), "TD": set(), "SUP": set(),
}  # fmt: skip

RENDER = """(texts) => {
  const found = new Set()
  for (const text of texts)
    for (const whole of [false, true]) {
      const draw = markdown(root, (n) => h('sup', null, n))
      root.replaceChildren()
      const ends = whole ? [text.length] : [...Array(text.length + 1).keys()]
      for (const end of ends) {
        draw(text.slice(0, end), !whole)
        for (const node of root.querySelectorAll('*')) {
          found.add(node.tagName + ' ' + node.getAttributeNames().join(' '))
          if (node.href) found.add('LINK ' + new URL(node.href).protocol + ' ' + node.rel)
        }
      }
    }
  return [...found]
}"""


def prepare(site: Site) -> None:
    """A page with only the widget's own drawing functions in it."""
    parts = "\n".join((SOURCES / f"{name}.js").read_text("utf-8") for name in ("dom", "markdown"))
    site.visit(embed="<div id=root></div><script>window.pwned = () => alert('pwned')\n" + parts + "</script>")


def judge(found: list[str]) -> None:
    for line in found:
        tag, *names = line.split()
        if tag == "LINK":
            assert names[0] in ("http:", "https:", "mailto:", "tel:"), line
            assert names[1:] == ["noopener", "nofollow"]
        else:
            assert tag in ALLOWED, line
            assert set(names) <= ALLOWED[tag], line


def test_at_every_prefix_only_harmless_elements_are_made(site: Site) -> None:
    prepare(site)
    judge(site.page.evaluate(RENDER, HOSTILE))
    site.page.wait_for_timeout(100)
    assert [url for url in site.urls if "evil" in url] == []


def test_arbitrary_mixtures_of_marks_stay_harmless_and_fast(site: Site) -> None:
    prepare(site)
    marks = st.sampled_from(
        [
            *"[]()!*_`#>|-:\\\n <\"'",
            "**",
            "](",
            "](javascript:",
            "https://e.example",
            "<script>",
            "| - |\n",
            "1. ",
            "ab",
            "アب",
        ]
    )

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.lists(marks, max_size=40).map("".join), min_size=5, max_size=5))
    def check(texts: list[str]) -> None:
        judge(site.page.evaluate(RENDER, texts))

    check()
    took = site.page.evaluate(
        """(texts) => Math.max(...texts.map((text) => {
          const begun = performance.now()
          markdown(root, (n) => h('sup', null, n))(text, true)
          return performance.now() - begun
        }))""",
        [
            mark * (8000 // len(mark))
            for mark in ("[", "**a ", "`a ", "![", "](", "> ", "- ", "|-", "https://", "_a_", "\\", "1. \n", "  - a\n")
        ],
    )
    assert took < 1000, "8,000 characters of any mark must not hold the page up"


def test_hostile_text_streamed_through_the_whole_widget(site: Site) -> None:
    text = "\n\n".join(HOSTILE)
    source = {"documentId": "x", "title": "<img src=x onerror=pwned()>", "excerpt": "<script>pwned()</script>"}
    pieces = [text[i : i + 4] for i in range(0, len(text), 4)]
    site.service.widget = {"widgetName": "<b>x</b>", "welcomeMessage": "<img src=//evil.example/w onerror=pwned()>"}
    site.visit(embed=None, avatar="https://evil.example/me.png")
    site.page.evaluate("void (window.pwned = () => alert('pwned'))")
    site.open().ask("<script>pwned()</script>", Answer(pieces, [source], pause=0.001)).finished()
    site.page.locator(".chip").first.click()
    site.shot("hostile")
    assert "<script>pwned()</script>" in site.text()
    assert site.page.locator(".panel img, .panel script, .panel iframe, .panel style, .panel [onerror]").count() == 0
    assert site.errors == []


def test_markdown_is_drawn_as_people_mean_it(site: Site) -> None:
    prepare(site)
    html = site.page.evaluate(
        """(texts) => texts.map((text) => {
          root.replaceChildren()
          markdown(root, (n) => h('sup', null, n))(text, false)
          return root.innerHTML.replace(/ (dir|tabindex|rel|class)="[^"]*"/g, '')
        })""",
        [
            "One *two* **three** __four__ `five *six*` 2*3*4 snake_case_name \\*seven\\*",
            "# Title\nText\nmore\n\n---\n> quote",
            "1. a\n2. b\n   - c\n   - d\n\n   more\n3. e",
            "| A | B |\n|---|:-:|\n| 1 | **2** |\nafter",
            "[x](https://a.example/(b)?c=1) <https://b.example>, https://c.example/d. [m](mailto:a@b.example)",
            "```py\nif a < b:\n    pass\n```\nend",
            "a [1, 2] b[3]",
            "3) c\n4) d",
        ],
    )
    assert html == [
        "<p>One <em>two</em> <strong>three</strong> <strong>four</strong> <code>five *six*</code> 2*3*4 snake_case_name *seven*</p>",
        "<p>Title</p><p>Text<br>more</p><hr><blockquote><p>quote</p></blockquote>",
        "<ol><li><span>a</span></li><li><span>b</span><ul><li><span>c</span></li><li><span>d</span></li></ul><p>more</p></li>"
        "<li><span>e</span></li></ol>",
        "<div><table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>1</td><td><strong>2</strong></td></tr></tbody></table></div>"
        "<p>after</p>",
        '<p><a href="https://a.example/(b)?c=1" target="_blank">x</a> <a href="https://b.example/" target="_blank">https://b.example</a>, '
        '<a href="https://c.example/d" target="_blank">https://c.example/d</a>. <a href="mailto:a@b.example" target="_blank">m</a></p>',
        "<pre>if a &lt; b:\n    pass</pre><p>end</p>",
        "<p>a <sup>1</sup><sup>2</sup> b<sup>3</sup></p>",
        '<ol start="3"><li><span>c</span></li><li><span>d</span></li></ol>',
    ]
