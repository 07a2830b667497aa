"""The widget's files as any page on the internet gets them, and the demo page that embeds them."""

import base64
import csv
import gzip
import hashlib
import json
import re

import brotli
import pytest
from django.conf import settings
from django.test import Client as Http

from chat.widget import assets, demo
from chat.widget.snippet import embed_snippet
from tenants import keys

STABLE = "public, max-age=3600, s-maxage=86400"
FILES = {
    "/widget/v1/widget.js": "text/javascript; charset=utf-8",
    "/widget/v1/widget.css": "text/css; charset=utf-8",
    "/widget/v2/people.js": "text/javascript; charset=utf-8",
    "/widget/v2/widget.js": "text/javascript; charset=utf-8",
}


@pytest.mark.parametrize("path", FILES)
def test_a_stable_address_has_the_contracts_headers(client: Http, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response["Content-Type"] == FILES[path]
    assert response["Cache-Control"] == STABLE
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Accept-Encoding" in response["Vary"]
    assert "Cookie" not in response["Vary"]
    assert re.fullmatch(r'"[^"]+"', response["ETag"]), "a strong entity tag"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("br, gzip", "br"),
        ("gzip, deflate", "gzip"),
        ("", None),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("*", "br"),
        ("identity", None),
        ("gzip;q=0.0", None),
    ],
)
def test_it_comes_in_the_best_encoding_that_the_browser_takes(
    client: Http, accepted: str, encoding: str | None
) -> None:
    plain = client.get("/widget/v2/widget.js").content
    response = client.get("/widget/v2/widget.js", headers={"accept-encoding": accepted})
    assert response.get("Content-Encoding") == encoding
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[encoding]
    assert unpack(response.content) == plain
    tag = response["ETag"]
    again = client.get(
        "/widget/v2/widget.js", headers={"accept-encoding": accepted, "if-none-match": f'"other", W/{tag}'}
    )
    assert (again.status_code, again.content, again["ETag"], again["Cache-Control"]) == (304, b"", tag, STABLE)
    other = client.get("/widget/v2/widget.js", headers={"accept-encoding": accepted, "if-none-match": tag[:-1] + 'x"'})
    assert other.status_code == 200
    assert client.head("/widget/v2/widget.js", headers={"accept-encoding": accepted}).content == b""


def test_compression_happens_once(client: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    assets.assets()

    def refuse(*_: object, **__: object) -> bytes:
        raise AssertionError("compressed once more")

    monkeypatch.setattr(assets.brotli, "compress", refuse)
    monkeypatch.setattr(assets.zopfli.gzip, "compress", refuse)
    assert client.get("/widget/v2/widget.js", headers={"accept-encoding": "br"}).status_code == 200


def test_all_that_v2_loads_is_at_most_15_kb_gzipped() -> None:
    script = len(assets.assets()["v2", "widget.js"].bodies["gzip"])
    texts = {
        name: len(asset.bodies["gzip"]) for (version, name), asset in assets.assets().items() if name.endswith(".json")
    }
    assert len(texts) == 7
    assert script + max(texts.values()) <= 15_000, (script, texts)


def test_the_part_for_people_is_small_and_says_everything_in_every_language() -> None:
    assert len(assets.assets()["v2", "people.js"].bodies["gzip"]) <= 4_500
    texts = {path.stem: json.loads(path.read_text("utf-8")) for path in (assets.HERE / "v2" / "people").glob("*.json")}
    assert sorted(texts) == ["ar", "de", "en", "es", "fr", "ja", "pt"]
    source = (assets.HERE / "v2" / "people.js").read_text("utf-8")
    for words in texts.values():
        assert list(words) == list(texts["en"])
        for key, text in words.items():
            assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", texts["en"][key])
    assert [key for key in texts["en"] if f"'{key}'" not in source] == [], "a text that nothing shows"


def test_every_language_says_everything() -> None:
    texts = {path.stem: json.loads(path.read_text("utf-8")) for path in (assets.HERE / "v2" / "texts").glob("*.json")}
    assert sorted(texts) == ["ar", "de", "en", "es", "fr", "ja", "pt"]
    source = "".join((assets.HERE / "v2" / f"{name}.js").read_text("utf-8") for name in assets.SOURCES)
    for words in texts.values():
        assert list(words) == list(texts["en"])
        for key, text in words.items():
            assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", texts["en"][key]) or key == "source"
    assert [key for key in texts["en"] if f"'{key}'" not in source] == [], "a text that nothing shows"


def test_every_setting_is_documented() -> None:
    source = (assets.HERE / "v2" / "settings.js").read_text("utf-8")
    defaults = source[source.index("DEFAULTS = {") : source.index("\n}")]
    names = re.findall(r"^  (\w+):", defaults, re.MULTILINE)
    assert len(names) > 15
    readme = (assets.HERE / "README.md").read_text("utf-8")
    assert [name for name in names if f"`{name}`" not in readme] == []


def test_an_immutable_address_keeps_its_bytes_also_after_an_upgrade(
    client: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = assets.assets()["v2", "widget.js"]
    response = client.get(now.immutable_path)
    assert response["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.content == now.bodies["identity"]
    newer = assets.pack("v2", "widget.js", "/* the next release */")
    monkeypatch.setitem(assets.assets(), ("v2", "widget.js"), newer)
    assert client.get("/widget/v2/widget.js").content == b"/* the next release */"
    assert client.get(now.immutable_path).content == now.bodies["identity"]
    for path in (
        "/widget/v2/0123456789abcdef/widget.js",
        "/widget/v1/de.json",
        "/widget/v2/widget.css",
    ):
        missing = client.get(path)
        assert missing.status_code == 404


def test_the_version_list_and_the_snippet_name_the_same_bytes(client: Http) -> None:
    listed = client.get("/widget/version").json()
    assert (listed["version"], listed["latest"], sorted(listed["versions"])) == (settings.VERSION, "v2", ["v1", "v2"])
    (script,) = [file for file in listed["versions"]["v2"] if file["path"] == "/widget/v2/widget.js"]
    body = client.get(script["immutablePath"]).content
    assert script["integrity"] == "sha384-" + base64.b64encode(hashlib.sha384(body).digest()).decode()
    assert script["bytes"]["identity"] == len(body)
    snippet = embed_snippet("https://chat.example/", "pk_live_x")
    assert snippet.splitlines()[:2] == [
        "<script>window.ChatConnectConfig = {apiKey: 'pk_live_x', baseUrl: 'https://chat.example'};</script>",
        '<script src="https://chat.example/widget/v2/widget.js" async></script>',
    ]
    assert (
        f'src="https://chat.example{script["immutablePath"]}" integrity="{script["integrity"]}" crossorigin' in snippet
    )
    assert "</script><b>" not in embed_snippet("https://chat.example", "x'</script><b>\\")


def test_the_demo_page_embeds_what_a_customer_pastes(
    client: Http, acme: object, acme_key: str, stranger_key: str
) -> None:
    demo.remember_key(acme_key)
    html = client.get("/").content.decode()
    assert embed_snippet("http://testserver", acme_key) in html
    assert html.count("<script") == 3  # the pair, and the pinned one in its comment
    assert stranger_key not in html


@pytest.mark.django_db
def test_without_a_demo_client_the_demo_page_says_so(client: Http, acme: object, acme_key: str) -> None:
    demo.remember_key(acme_key)
    row = keys.find(keys.digests(acme_key))
    assert row is not None
    keys.revoke(row)
    html = client.get("/").content.decode()
    assert "no demo client" in html
    assert "widget.js" not in html


def test_the_demo_page_sells_what_the_demo_s_documents_know() -> None:
    page = (settings.BASE_DIR / "chat/templates/chat/demo.html").read_text()
    with (settings.BASE_DIR / "knowledge/demo/products.csv").open(newline="") as file:
        known = {(row["name"], row["price (GBP)"]) for row in csv.DictReader(file)}
    shown = re.findall(r"<h3>([^<]+)</h3><p>[^<]+</p><b>£(\d+)</b>", page)
    assert len(shown) == 4
    for name, price in shown:
        words = set(name.split())
        assert [price] == [f"{float(each):.0f}" for full, each in known if words <= set(full.split())], name
