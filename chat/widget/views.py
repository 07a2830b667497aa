"""The widget's files and the demo page."""

import base64
import hashlib
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from chat.widget import demo
from chat.widget.assets import Asset, assets, earlier
from chat.widget.snippet import embed_snippet
from tenants.errors import ApiError

STABLE = "public, max-age=3600, s-maxage=86400"
IMMUTABLE = "public, max-age=31536000, immutable"


@csrf_exempt
@require_safe
def widget_file(request: HttpRequest, version: str, name: str) -> HttpResponse:
    """A file at its stable address: the present release's."""
    asset = assets().get((version, name))
    return _serve(request, asset, STABLE) if asset else _missing(request)


@csrf_exempt
@require_safe
def pinned_file(request: HttpRequest, version: str, digest: str, name: str) -> HttpResponse:
    """A file at its immutable address: this release's build or an earlier one's."""
    asset = assets().get((version, name))
    if asset is None:
        return _missing(request)
    found = asset if asset.digest == digest else earlier(version, name, digest)
    return _serve(request, found, IMMUTABLE) if found else _missing(request)


@csrf_exempt
@require_safe
def versions(request: HttpRequest) -> HttpResponse:
    """The served versions, with sizes in bytes by encoding."""
    listed: dict[str, list[dict[str, Any]]] = {}
    for asset in assets().values():
        listed.setdefault(asset.version, []).append(
            {
                "path": asset.path,
                "immutablePath": asset.immutable_path,
                "integrity": asset.integrity,
                "bytes": {encoding: len(body) for encoding, body in asset.bodies.items()},
            }
        )
    body = {"version": settings.VERSION, "latest": "v2", "versions": listed}
    return _open_to_all(JsonResponse(body, headers={"Cache-Control": "no-cache"}))


@require_safe
def demo_page(request: HttpRequest) -> HttpResponse:
    """A shop page of the demo client with the snippet that a customer would paste."""
    key = demo.current_key()
    base_url = f"{request.scheme}://{request.get_host()}"
    context = {"snippet": embed_snippet(base_url, key) if key else "", "base_url": base_url}
    response = render(request, "chat/demo.html", context)
    response["Cache-Control"] = "no-store"
    response["Content-Security-Policy"] = _demo_policy(context["snippet"])
    return response


def _demo_policy(snippet: str) -> str:
    """The page runs the widget and the one script in the snippet, which it names by its hash."""
    inline = snippet.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    return (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; connect-src 'self'; "
        f"img-src 'self' data: https:; style-src 'self' 'unsafe-inline'; script-src 'self' 'sha256-{digest}'"
    )


def _serve(request: HttpRequest, asset: Asset, caching: str) -> HttpResponse:
    encoding = _encoding(request.headers.get("Accept-Encoding", ""))
    etag = f'"{asset.digest}-{encoding}"'  # a strong tag names the bytes sent, so each encoding has its own
    if _matches(request.headers.get("If-None-Match", ""), etag):
        response = HttpResponse(status=304)
        del response["Content-Type"]
    else:
        response = HttpResponse(asset.bodies[encoding], content_type=asset.content_type)
        if encoding != "identity":
            response["Content-Encoding"] = encoding
    response["ETag"] = etag
    response["Cache-Control"] = caching
    patch_vary_headers(response, ["Accept-Encoding"])
    return _open_to_all(response)


def _open_to_all(response: HttpResponse) -> HttpResponse:
    """Any page may load it, also one that isolates itself from other origins."""
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _missing(request: HttpRequest) -> HttpResponse:
    error = ApiError("NOT_FOUND", "There is no such widget file.")
    return _open_to_all(JsonResponse(error.body(request.trace_id), status=error.status))  # type: ignore[attr-defined]


def _encoding(header: str) -> str:
    """The best of our encodings that an Accept-Encoding header takes; a quality of 0 refuses one."""
    taken = {}
    for part in header.lower().split(","):
        name, _, quality = part.partition(";")
        taken[name.strip()] = quality.replace(" ", "").rstrip("0") not in ("q=", "q=0.")
    return next((name for name in ("br", "gzip") if taken.get(name, taken.get("*", False))), "identity")


def _matches(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags
