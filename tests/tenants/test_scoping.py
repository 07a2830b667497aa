"""Forgetting the client fails; naming another's row is refused."""

import pytest

from tenants.models import ApiKey, Client
from tenants.scoping import NoClientInScope, WrongClient, client_scope, current_client, unscoped


def test_every_way_of_asking_raises_without_a_scope(acme: Client) -> None:
    for ask in (
        lambda: ApiKey.objects.exists(),
        lambda: ApiKey.objects.exclude(pk=0),
        lambda: ApiKey.objects.create(client=acme),
        lambda: ApiKey.objects.bulk_create([]),
        lambda: ApiKey._base_manager.all(),
    ):
        with pytest.raises(NoClientInScope):
            ask()


def test_a_scope_sees_its_own_rows_only(acme: Client, stranger: Client, acme_key: str, stranger_key: str) -> None:
    with client_scope(acme.pk):
        assert [key.client_id for key in ApiKey.objects.all()] == [acme.pk]
    with unscoped("the test counts all keys"):
        assert ApiKey.objects.count() == 2


def test_a_scope_of_another_client_is_not_entered_inside_one(acme: Client, stranger: Client) -> None:
    with client_scope(acme.pk):
        with pytest.raises(WrongClient), client_scope(stranger.pk):
            pytest.fail("two clients are in scope")
        with client_scope(str(acme.pk)):
            assert current_client() == acme.pk
        with unscoped("the test looks at everyone"), client_scope(stranger.pk):
            assert current_client() == stranger.pk
        assert current_client() == acme.pk


def test_another_clients_row_is_not_written(acme: Client, stranger: Client) -> None:
    with client_scope(acme.pk):
        for write in (
            lambda: ApiKey.objects.create(client=stranger, kind="secret", digest="a"),
            lambda: ApiKey(client=stranger, kind="secret", digest="b").save(),
            lambda: ApiKey.objects.bulk_create([ApiKey(client=stranger, kind="secret", digest="c")]),
            lambda: ApiKey.objects.update(client=stranger),
        ):
            with pytest.raises(WrongClient):
                write()
    with unscoped("the test counts all keys"):
        assert ApiKey.objects.count() == 0
