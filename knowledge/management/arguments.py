"""What the commands' arguments look like."""

import uuid
from argparse import ArgumentTypeError


def client_id(text: str) -> str:
    """A clientId; ArgumentTypeError otherwise."""
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise ArgumentTypeError(f"“{text}” is no clientId: manage.py list_clients shows them") from error
