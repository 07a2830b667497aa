"""What Express asks about a key, and what it does with a whole client: export and erasure."""

import uuid
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants import erasure, export
from tenants.authentication import InternalAuthentication
from tenants.callers import key_owner
from tenants.errors import ApiError
from tenants.models import ApiKey, Client, Erasure
from tenants.streamed import json_download


class ValidateClientView(APIView):
    """Whose publishable key is this, and may it be used? Always 200 for a JSON object; the answer is in `valid`, also
    for what can't be a key or is not there."""

    authentication_classes = [InternalAuthentication]

    def post(self, request: Request) -> Response:
        body: Any = request.data  # an object: tenants/parsers.py
        key = body.get("apiKey")
        return Response(_validity(key.strip() if isinstance(key, str) else ""))


class ClientExport(APIView):
    """Everything held of a client, whatever its status."""

    authentication_classes = [InternalAuthentication]

    def get(self, request: Request, client_id: uuid.UUID) -> StreamingHttpResponse:
        client = Client.objects.filter(pk=client_id).first()
        if client is None:
            raise ApiError("NOT_FOUND", "There is no such client.")
        return json_download(export.pieces(client), f"client-{client_id}.json")


class ClientErasure(APIView):
    """Erase a client for good, and the receipt that says so."""

    authentication_classes = [InternalAuthentication]

    def get(self, request: Request, client_id: uuid.UUID) -> Response:
        return Response(_receipt(client_id).receipt())

    def post(self, request: Request, client_id: uuid.UUID) -> Response:
        """202 with the receipt so far; it is finished at once where there are no workers. May be repeated."""
        if Client.objects.filter(pk=client_id).exists():
            erasure.request_erasure(client_id)
        found = _receipt(client_id)
        if found.finished is None:
            found = erasure.run(found)
        return Response(found.receipt(), status=202)


def _receipt(client_id: uuid.UUID) -> Erasure:
    found = Erasure.objects.filter(pk=client_id).first()
    if found is None:
        raise ApiError("NOT_FOUND", "There is no such client, and no receipt of its erasure.")
    return found


def _validity(key: str) -> dict[str, Any]:
    try:
        client = key_owner(key, ApiKey.Kind.PUBLISHABLE)
    except ApiError as error:
        return {"valid": False, "errorMessage": error.message}
    return {
        "valid": True,
        "clientId": str(client.pk),
        "tier": client.tier,
        "model": client.model_in_use,
        "allowedDomains": client.allowed_domains,
    }
