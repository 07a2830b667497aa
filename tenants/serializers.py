from rest_framework import serializers


class ValidateClientSerializer(serializers.Serializer):
    apiKey = serializers.CharField(max_length=200)
