"""What Express asks about a key."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.authentication import InternalAuthentication
from tenants.callers import key_owner
from tenants.errors import ApiError
from tenants.models import ApiKey
from tenants.serializers import ValidateClientSerializer


class ValidateClientView(APIView):
    """Whose publishable key is this, and may it be used? Always 200; the answer is in `valid`."""

    authentication_classes = [InternalAuthentication]

    def post(self, request: Request) -> Response:
        asked = ValidateClientSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(_validity(asked.validated_data["apiKey"]))


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
