"""What a question and a rating must look like."""

import uuid

from rest_framework import serializers
from rest_framework.fields import empty

LONGEST_QUESTION = 2_000  # characters


class TextField(serializers.CharField):
    """A string, and nothing that could be written as one (42, true)."""

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class NoteField(TextField):
    """A string of which the first `keep` characters are kept: a page's long address must not cost an answer."""

    def __init__(self, keep: int):
        super().__init__(required=False, allow_blank=True, allow_null=True)
        self._keep = keep

    def to_internal_value(self, data: object) -> str:
        return super().to_internal_value(data)[: self._keep]


class SessionIdField(serializers.UUIDField):
    """A UUID as a string: a number would be the same session for everyone who sends it. None for an empty one."""

    def run_validation(self, data: object = empty) -> uuid.UUID | None:
        return super().run_validation(None if data == "" else data)

    def to_internal_value(self, data: object) -> uuid.UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class MetadataSerializer(serializers.Serializer):
    userAgent = NoteField(1000)
    pageUrl = NoteField(2000)
    customFields = serializers.DictField(required=False, allow_null=True)


class QuestionSerializer(serializers.Serializer):
    """A question; without a sessionId a new session begins."""

    message = TextField(
        min_length=1,
        max_length=LONGEST_QUESTION,
        error_messages={
            "blank": "The message is empty.",
            "invalid": "The message is not a text.",
            "max_length": "The message is too long: at most {max_length} characters can be sent.",
            "null": "The message is missing.",
            "required": "The message is missing.",
        },
    )
    sessionId = SessionIdField(required=False, allow_null=True)
    metadata = MetadataSerializer(required=False, allow_null=True)

    def validate_message(self, value: str) -> str:
        if "\x00" in value:
            raise serializers.ValidationError("The message holds a NUL character.")
        return value


class AddressSerializer(serializers.Serializer):
    email = serializers.EmailField(max_length=254)


class FeedbackSerializer(serializers.Serializer):
    rating = serializers.ChoiceField(choices=["up", "down"])
    comment = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=2000)
