"""What a customer pastes into a page."""

import json

from chat.widget.assets import assets


def embed_snippet(base_url: str, key: str) -> str:
    """The pair of script tags for a page; `base_url` is the service's public address, `key` a publishable key.

    A comment below them gives the same script pinned to this very build, with its subresource integrity hash.
    """
    base_url = base_url.rstrip("/")
    script = assets()["v2", "widget.js"]
    config = f"{{apiKey: {_literal(key)}, baseUrl: {_literal(base_url)}}}"
    return (
        f"<script>window.ChatConnectConfig = {config};</script>\n"
        f'<script src="{base_url}{script.path}" async></script>\n'
        f'<!-- To pin this version, use instead: <script src="{base_url}{script.immutable_path}" '
        f'integrity="{script.integrity}" crossorigin="anonymous" async></script> -->'
    )


def _literal(text: str) -> str:
    """A JavaScript string in single quotes that can't end the script element it stands in."""
    inner = json.dumps(text)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return "'" + inner.replace("<", "\\u003c").replace(">", "\\u003e") + "'"
