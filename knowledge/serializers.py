"""What an upload must look like, as JSON with base64 or as a form with a file."""

import base64
import binascii
import json
from pathlib import PurePath
from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.fields import empty

from knowledge.documents import FILE_TYPES, Upload, too_large
from tenants.errors import ApiError


class MetadataField(serializers.JSONField):
    """JSON, or nothing: null, and the empty text of a form's field."""

    def run_validation(self, data: object = empty) -> object:
        return {} if data is None or data == "" else super().run_validation(data)


class UploadSerializer(serializers.Serializer):
    """`fileData` (base64) or `file` (multipart); `metadata` may be JSON text in a form."""

    documentId = serializers.CharField(max_length=255, trim_whitespace=False)
    clientId = serializers.CharField(required=False, allow_blank=True)
    fileData = serializers.CharField(required=False, trim_whitespace=False)
    file = serializers.FileField(required=False, allow_empty_file=True)
    fileType = serializers.CharField(required=False)
    originalName = serializers.CharField(required=False, allow_blank=True, allow_null=True)
    metadata = MetadataField(required=False, allow_null=True)

    def validate_metadata(self, value: object) -> dict[str, object]:
        if isinstance(value, str):
            try:
                value = json.loads(value or "{}")
            except ValueError as error:
                raise serializers.ValidationError("This is not valid JSON.") from error
        if value is not None and not isinstance(value, dict):
            raise serializers.ValidationError("This is not a JSON object.")
        if not _storable(value):
            raise serializers.ValidationError(
                "This can't be stored: NUL characters, halves of characters, or infinity."
            )
        return value or {}

    def upload(self) -> Upload:
        """The upload behind valid data; ApiError 400, 413 or 415."""
        fields = self.validated_data
        uploaded = fields.get("file")
        if uploaded is None and "fileData" not in fields:
            raise ApiError("INVALID_REQUEST", "Send the file as fileData (base64) or as a form field named file.")
        name = _clean_name(fields.get("originalName") or (uploaded.name if uploaded else "") or fields["documentId"])
        file_type = (fields.get("fileType") or PurePath(name).suffix[1:]).lower().lstrip(".")
        if file_type not in FILE_TYPES:
            raise ApiError("UNSUPPORTED_FILE_TYPE", "Only PDF, DOCX, TXT and CSV files can be read.")
        data = _read(uploaded) if uploaded is not None else _decode(fields["fileData"])
        return Upload(fields["documentId"], data, file_type, name, fields.get("metadata", {}))


def _storable(value: object) -> bool:
    """Would the database take it? JSON may hold what its `jsonb` and UTF-8 don't."""
    try:
        return "\\u0000" not in json.dumps(value, allow_nan=False) and bool(
            json.dumps(value, ensure_ascii=False).encode()
        )
    except ValueError:
        return False


def _read(uploaded: Any) -> bytes:
    if uploaded.size > settings.MAX_DOCUMENT_BYTES:
        raise too_large()
    return uploaded.read()


def _decode(text: str) -> bytes:
    """Bytes of a base64 text, with or without a data-URL head and line breaks; its size is checked first."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    text = "".join(text.split())
    if len(text) > settings.MAX_DOCUMENT_BYTES * 4 // 3 + 4:
        raise too_large()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError("INVALID_REQUEST", "fileData is not valid base64.") from error


def _clean_name(name: str) -> str:
    """The last part of a path, without control characters, at most 255 characters."""
    last = PurePath(name.replace("\\", "/")).name or "document"
    return "".join(c for c in last if c.isprintable())[:255] or "document"
