"""What a question and a rating must look like."""

import uuid

from rest_framework import serializers


class MetadataSerializer(serializers.Serializer):
    userAgent = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    pageUrl = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    customFields = serializers.DictField(required=False)


class QuestionSerializer(serializers.Serializer):
    """A question; without a sessionId a new session begins. `clientId` counts for the internal caller only."""

    message = serializers.CharField(min_length=1, max_length=2000)
    sessionId = serializers.UUIDField(required=False, allow_null=True)
    clientId = serializers.CharField(required=False, allow_blank=True, allow_null=True)
    metadata = MetadataSerializer(required=False, allow_null=True)

    def validate_message(self, value: str) -> str:
        if "\x00" in value:
            raise serializers.ValidationError("The message holds a NUL character.")
        return value

    def validate_sessionId(self, value: uuid.UUID | None) -> uuid.UUID:
        return value or uuid.uuid4()


class AddressSerializer(serializers.Serializer):
    email = serializers.EmailField(max_length=254)


class FeedbackSerializer(serializers.Serializer):
    rating = serializers.ChoiceField(choices=["up", "down"])
    comment = serializers.CharField(required=False, allow_blank=True, max_length=2000)
