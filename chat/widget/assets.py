"""The widget's files, put together and compressed once in a web process, beside its start (config/preload.py).

v2 has no build step: its sources are joined in the order of SOURCES inside one function, with the style sheet as a
literal, and stripped of comments and needless space. It loads the texts of the one language that it shows. Zopfli's
gzip is 3 % smaller than zlib's; with Brotli it takes most of a second, which commands are spared.

Each file has an immutable address with its digest beside the stable one; earlier builds are kept in
`DATA_DIR/widget`, so that a page which pins one keeps working after an upgrade.
"""

import base64
import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import brotli
import rjsmin
import structlog
import zopfli.gzip
from django.conf import settings

log = structlog.get_logger(__name__)

HERE = Path(__file__).parent
SOURCES = (
    "dom", "colour", "store", "transport", "markdown", "settings", "turn", "panel", "conversation", "widget",
)  # fmt: skip
CONTENT_TYPES = {"js": "text/javascript", "css": "text/css", "json": "application/json"}


@dataclass(frozen=True)
class Asset:
    """One served file in all its encodings; `digest` is 16 hex digits of SHA-256."""

    version: str  # v1, v2
    name: str  # widget.js, widget.css; a language's texts: de.json
    content_type: str
    digest: str
    integrity: str  # sha384-…, for the `integrity` attribute
    bodies: dict[str, bytes]  # by encoding: identity, gzip, br

    @property
    def path(self) -> str:
        return f"/widget/{self.version}/{self.name}"

    @property
    def immutable_path(self) -> str:
        return f"/widget/{self.version}/{self.digest}/{self.name}"


@functools.cache
def assets() -> dict[tuple[str, str], Asset]:
    """All files by version and name, as this release has them; the builds are kept for pages that pin them."""
    words = {path.name: _texts(path) for path in sorted((HERE / "v2" / "texts").glob("*.json"))}
    people = _people_script()
    together = _digest("".join([*words.values(), people]))  # one address for all: the script names it once
    texts = [pack("v2", name, text, together) for name, text in words.items()]
    files = [
        pack("v1", "widget.js", rjsmin.jsmin(_read("v1/widget.js")) + "\n"),
        pack("v1", "widget.css", _read("v1/widget.css")),
        pack("v2", "widget.js", _script(f"/widget/v2/{together}/", [Path(name).stem for name in words])),
        pack("v2", "people.js", people, together),
        *texts,
    ]
    for asset in files:
        _keep(asset)
    return {(asset.version, asset.name): asset for asset in files}


def _script(texts_path: str, languages: list[str]) -> str:
    """v2's script: its sources in one function, without comments; short constants stand where they are used."""
    parts = [
        f"const VERSION = {json.dumps(settings.VERSION)}",
        f"const TEXTS_PATH = {json.dumps(texts_path)}",
        f"const LANGUAGES = {json.dumps(languages)}",
        f"const CSS = {json.dumps(_minify_css(_read('v2/widget.css')))}",
        *(_read(f"v2/{name}.js") for name in SOURCES),
    ]
    script = ";(() => {\n'use strict'\n" + "\n;\n".join(parts) + "\n})()\n"
    for name, value in re.findall(r'^const ([A-Z_]+) = (\d+|"[^"]{1,40}")$', script, re.MULTILINE):
        script = re.sub(rf"\b{name}\b", value, script.replace(f"const {name} = {value}\n", ""))
    return rjsmin.jsmin(re.sub(r"\bconst\b", "let", script)) + "\n"


def _people_script() -> str:
    """The part for clients whose people answer, too: a module with its texts in all languages."""
    texts = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((HERE / "v2" / "people").glob("*.json"))}
    words = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return rjsmin.jsmin(f"const TEXTS = {words}\n" + _read("v2/people.js")) + "\n"


def _minify_css(text: str) -> str:
    """A style sheet without comments, line breaks and space around its punctuation."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s*([{};,>!]) ?|(?<=[a-z-]): ", lambda m: m[1] or ":", text)
    return re.sub(r"(?<=[ :,(])0(?=\.\d)", "", text).replace(";}", "}").strip()


def _texts(path: Path) -> str:
    return json.dumps(json.loads(path.read_text("utf-8")), ensure_ascii=False, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(name: str) -> str:
    return (HERE / name).read_text("utf-8")


@functools.lru_cache(maxsize=16)
def earlier(version: str, name: str, digest: str) -> Asset | None:
    """A build of an earlier release, or None when this installation never served it."""
    try:
        return pack(version, name, _kept(version, name, digest).read_text("utf-8"), digest)
    except OSError:
        return None


def pack(version: str, name: str, text: str, digest: str = "") -> Asset:
    """A file with its digest (its own, unless it shares one) and its compressed forms."""
    body = text.encode()
    return Asset(
        version=version,
        name=name,
        content_type=CONTENT_TYPES[name.rpartition(".")[2]] + "; charset=utf-8",
        digest=digest or _digest(text),
        integrity="sha384-" + base64.b64encode(hashlib.sha384(body).digest()).decode(),
        bodies={
            "identity": body,
            "gzip": zopfli.gzip.compress(body),
            "br": brotli.compress(body, mode=brotli.MODE_TEXT, quality=11),
        },
    )


def _kept(version: str, name: str, digest: str) -> Path:
    return settings.DATA_DIR / "widget" / f"{version}-{digest}-{name}"


def _keep(asset: Asset) -> None:
    """Written beside and moved, so that another process never reads half a file. A read-only disk only loses pins."""
    path = _kept(asset.version, asset.name, asset.digest)
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{id(asset)}.new")
        fresh.write_bytes(asset.bodies["identity"])
        fresh.replace(path)
    except OSError as error:
        log.warning(
            "the widget's build could not be kept; pages that pin it break at the next release", error=str(error)
        )
