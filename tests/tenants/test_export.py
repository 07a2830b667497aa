"""The export of a client holds a row of every kind that there is, and nothing that is not its own to have."""

import json

from tenants import export
from tenants.models import Client
from tenants.policies import client_owned_models
from tests.isolation.rows import canary, furnish


def test_a_row_of_every_model_is_exported_and_none_of_a_stranger(acme: Client, stranger: Client) -> None:
    furnish(acme)
    furnish(stranger)
    text = "".join(export.pieces(acme))
    exported = json.loads(text)["rows"]
    assert {name for name, found in exported.items() if found} == {
        export.camel(model.__name__) for model in client_owned_models()
    }
    assert canary(acme) in text and canary(stranger) not in text and str(stranger.pk) not in text
    assert "digest" not in exported["apiKey"][0]
