"""The widget's files, put together and compressed once when the process loads them, never in a request.

v2 has no build step: its sources are joined in the order of SOURCES inside one function, with the style sheet and
the texts as literals, and stripped of comments and needless space. Each file has an immutable address with its
digest beside the stable one; earlier builds are kept in `DATA_DIR/widget`, so that a page which pins one keeps
working after an upgrade.
"""

import base64
import functools
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import brotli
import rjsmin
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

HERE = Path(__file__).parent
SOURCES = (
    "dom", "colour", "store", "transport", "markdown", "settings", "turn", "panel", "conversation", "widget",
)  # fmt: skip


@dataclass(frozen=True)
class Asset:
    """One served file in all its encodings; `digest` is the first 16 hex digits of its SHA-256."""

    version: str  # v1, v2
    name: str  # widget.js, widget.css
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


def build_script() -> str:
    """v2's script: its sources in one function, without comments."""
    parts = [
        f"const VERSION = {json.dumps(settings.VERSION)}",
        f"const CSS = {json.dumps(minify_css((HERE / 'v2' / 'widget.css').read_text('utf-8')))}",
        *_texts(),
        *((HERE / "v2" / f"{name}.js").read_text("utf-8") for name in SOURCES),
    ]
    script = ";(() => {\n'use strict'\n" + "\n;\n".join(parts) + "\n})()\n"
    return rjsmin.jsmin(script)


def minify_css(text: str) -> str:
    """A style sheet without comments, line breaks and space around its punctuation."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"\s*([{};,>]) ?|(?<=[a-z-]): ", lambda m: m[1] or ":", text).replace(";}", "}").strip()


def _texts() -> list[str]:
    """The texts as one list of keys and a list of values for each language: shorter than keys repeated seven times."""
    texts = json.loads((HERE / "v2" / "texts.json").read_text("utf-8"))
    keys = list(texts["en"])
    values = {language: [words[key] for key in keys] for language, words in texts.items()}
    return [f"const TEXT_KEYS = {json.dumps(keys)}", f"const TEXTS = {json.dumps(values, ensure_ascii=False)}"]


BUILDERS: dict[tuple[str, str], Callable[[], str]] = {
    ("v1", "widget.js"): lambda: rjsmin.jsmin((HERE / "v1" / "widget.js").read_text("utf-8")) + "\n",
    ("v1", "widget.css"): lambda: (HERE / "v1" / "widget.css").read_text("utf-8"),
    ("v2", "widget.js"): build_script,
}


@functools.cache
def assets() -> dict[tuple[str, str], Asset]:
    """All files by version and name, as this release has them; the builds are kept for pages that pin them."""
    built = {key: pack(*key, builder().encode()) for key, builder in BUILDERS.items()}
    for asset in built.values():
        _keep(asset)
    return built


@functools.lru_cache(maxsize=16)
def earlier(version: str, name: str, digest: str) -> Asset | None:
    """A build of an earlier release, or None when this installation never served it."""
    try:
        asset = pack(version, name, _kept(version, name, digest).read_bytes())
    except OSError:
        return None
    return asset if asset.digest == digest else None


def pack(version: str, name: str, body: bytes) -> Asset:
    """A file with its digest and its compressed forms."""
    return Asset(
        version=version,
        name=name,
        content_type="text/css; charset=utf-8" if name.endswith(".css") else "text/javascript; charset=utf-8",
        digest=hashlib.sha256(body).hexdigest()[:16],
        integrity="sha384-" + base64.b64encode(hashlib.sha384(body).digest()).decode(),
        bodies={
            "identity": body,
            "gzip": gzip.compress(body, 9, mtime=0),
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
