"""Doors to the documents: parse, call one verb, answer."""

from typing import Any

from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from knowledge import documents
from knowledge.serializers import UploadSerializer
from tenants.authentication import CallerAuthentication, caller_of
from tenants.callers import require_scope
from tenants.parsers import JSONParser


class ProcessDocument(APIView):
    """Take a document in; it is ingested outside the request."""

    authentication_classes = [CallerAuthentication]
    parser_classes = [JSONParser, MultiPartParser, FormParser]

    def post(self, request: Request) -> Response:
        require_scope(caller_of(request), "documents")
        serializer = UploadSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        client = caller_of(request).acting_for(serializer.validated_data.get("clientId"))
        version = documents.submit(client, serializer.upload())
        body = {
            "success": True,
            "documentId": version.document.external_id,
            "status": version.status,
            "chunksCreated": version.chunks_total,
            "qdrantPointIds": documents.state(version)["qdrantPointIds"],
            "processingTimeMs": 0,
        }
        return Response(body, status=202)


class DocumentDetail(APIView):
    authentication_classes = [CallerAuthentication]

    def delete(self, request: Request, document_id: str) -> Response:
        documents.remove(_client_of(request, document_id), document_id)
        return Response(status=204)


class DocumentStatus(APIView):
    authentication_classes = [CallerAuthentication]

    def get(self, request: Request, document_id: str) -> Response:
        client_id = _client_of(request, document_id)
        return Response(documents.state(documents.find(client_id, document_id)))

    def delete(self, request: Request, document_id: str) -> Response:
        """The address of a document whose id ends in "/status"."""
        return DocumentDetail().delete(request, f"{document_id}/status")


def _client_of(request: Request, document_id: str) -> Any:
    """The caller's client; the internal caller may name one, else the document tells."""
    require_scope(caller_of(request), "documents")
    caller = caller_of(request)
    if caller.client is not None:
        return caller.client.pk
    if named := request.query_params.get("clientId"):
        return caller.acting_for(named).pk
    return documents.owner_of(document_id)
