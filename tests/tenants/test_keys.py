"""Keys: their shape, what is stored of them, and when they stop working."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.forms.models import model_to_dict
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tenants import callers, keys
from tenants.callers import authenticate
from tenants.errors import ApiError
from tenants.models import ApiKey, Client
from tenants.scoping import client_scope

SHAPE = {"publishable": r"pk_live_[0-9a-zA-Z]{32}[0-9a-zA-Z]{6}", "secret": r"sk_live_[0-9a-zA-Z]{32}[0-9a-zA-Z]{6}"}
GOOD = "pk_live_" + "0" * 32


def manage(capsys: Any, *arguments: str) -> Any:
    call_command(*arguments, "--json")
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", SHAPE)
def test_a_key_is_random_and_only_its_digest_is_stored(acme: Client, kind: str) -> None:
    scopes = ["documents"] if kind == "secret" else []
    made = [keys.mint(acme.pk, kind, scopes=scopes) for _ in range(50)]
    assert len({key for _, key in made}) == 50
    for row, key in made:
        assert re.fullmatch(SHAPE[kind], key)
        assert key[8:40] not in str(model_to_dict(row)) + row.digest + row.hint
        assert row.hint == f"{key[:12]}…{key[-4:]}"
    assert 62**keys.RANDOM_LENGTH > 2**160


@given(st.text() | st.text(alphabet=keys.ALPHABET, min_size=38, max_size=38).map(lambda tail: "pk_live_" + tail))
def test_a_string_that_is_no_key_costs_no_query(text: str) -> None:
    """(Without the `db` fixture a query is an error.)"""
    assert not keys.well_formed(text)
    with pytest.raises(ApiError):
        authenticate({"x-api-key": text})


def test_one_wrong_character_anywhere_is_noticed_without_a_query(acme_key: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        for place in range(len(acme_key)):
            wrong = acme_key[:place] + ("a" if acme_key[place] != "a" else "b") + acme_key[place + 1 :]
            with pytest.raises(ApiError):
                authenticate({"x-api-key": wrong})


def test_every_refusal_is_the_same(acme: Client, acme_key: str, django_assert_num_queries: Any) -> None:
    row, revoked = keys.mint(acme.pk, "publishable")
    keys.revoke(row)
    _, expired = keys.mint(acme.pk, "publishable", expires=timezone.now())
    unknown_row, unknown = keys.mint(acme.pk, "publishable")
    with client_scope(acme.pk):
        unknown_row.delete()
    _, secret = keys.mint(acme.pk, "secret", scopes=["chat"])
    tries = [
        {"x-api-key": key}
        for key in (revoked, expired, unknown, secret, "", "pk_live_x", "é" * 46, acme_key[:-1] + "é")
    ]
    tries += [{"authorization": f"Bearer {key}"} for key in (acme_key, revoked, "", "sk_live_x")]
    tries += [
        {"authorization": f"Bearer {secret}", "origin": "https://acme.example"},
        {"authorization": f"Basic {secret}"},
    ]
    tries += [{"x-internal-secret": ""}, {"x-internal-secret": "é"}, {}]
    told = set()
    for headers in tries:
        with pytest.raises(ApiError) as caught:
            authenticate(headers)
        error = caught.value
        told.add((error.code, error.status, error.message, str(error.details), str(error.headers)))
    assert len(told) == 1
    for key in (revoked, expired, unknown):  # and each costs the same: one look-up in one scope
        callers.forget_callers()
        with django_assert_num_queries(3), pytest.raises(ApiError):
            authenticate({"x-api-key": key})


def test_a_revoked_key_and_a_paused_client_stop_within_two_seconds(
    acme: Client, acme_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(callers.time, "monotonic", lambda: now[0])
    caller = authenticate({"x-api-key": acme_key})
    assert callers.still_allowed(caller, acme.pk)
    Client.objects.update(status=Client.Status.PAUSED)
    now[0] += 2
    assert not callers.still_allowed(caller, acme.pk)
    with pytest.raises(ApiError, match="switched off"):
        authenticate({"x-api-key": acme_key})
    Client.objects.update(status=Client.Status.ACTIVE)
    assert caller.key is not None
    keys.revoke(caller.key)
    now[0] += 2
    assert not callers.still_allowed(caller, acme.pk)
    with pytest.raises(ApiError, match="not valid"):
        authenticate({"x-api-key": acme_key})


def test_last_use_is_noted_at_most_once_a_minute(acme: Client, acme_key: str) -> None:
    other, _ = keys.mint(acme.pk, "publishable")

    def last_used() -> Any:
        callers.forget_callers()
        authenticate({"x-api-key": acme_key})
        with client_scope(acme.pk):
            assert ApiKey.objects.get(pk=other.pk).last_used is None
            return ApiKey.objects.exclude(pk=other.pk).get().last_used

    first = last_used()
    assert first is not None and last_used() == first
    with client_scope(acme.pk):
        ApiKey.objects.exclude(pk=other.pk).update(last_used=first - timedelta(seconds=61))
    assert last_used() > first


def test_a_flood_of_keys_takes_a_bounded_amount_of_memory(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "REMEMBER_KEYS", 3)
    sizes = []
    for _ in range(5):
        authenticate({"x-api-key": keys.mint(acme.pk, "publishable")[1]})
        sizes.append(len(callers._remembered))
    assert sizes == [1, 2, 3, 1, 2]


def test_a_key_survives_a_new_secret_key_while_the_old_one_is_a_fallback(acme_key: str, settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another " * 8, [settings.SECRET_KEY]
    assert len(keys.digests(acme_key)) == 2
    # (The scope to look a key up in is signed with the new key, which the database learns from `migrate`.)
    assert keys.digests(acme_key)[1] != keys.digests(acme_key)[0]


@pytest.mark.parametrize(
    ("kind", "scopes"), [("secret", []), ("secret", ["admin"]), ("secret", "chat"), ("publishable", ["documents"])]
)
def test_scopes_that_make_no_sense_are_refused(acme: Client, kind: str, scopes: Any) -> None:
    with pytest.raises(ValidationError):
        keys.mint(acme.pk, kind, scopes=scopes)


def test_commands_make_list_rotate_and_revoke(db: None, stranger: Client, capsys: Any) -> None:
    made = manage(capsys, "create_client", "--name", "Acme", "--tier", "paid", "--domain", "acme.example")
    assert authenticate({"x-api-key": made["publishableKey"], "origin": "https://acme.example"}).client.name == "Acme"

    secret = manage(capsys, "create_key", "--client", made["clientId"], "--kind", "secret", "--scope", "documents")
    new = manage(capsys, "create_key", "--replaces", secret["key"], "--overlap-hours", "1")
    assert (new["kind"], new["scopes"], new["clientId"]) == ("secret", ["documents"], made["clientId"])
    for key in (secret["key"], new["key"]):  # both work while the new one is rolled out
        assert authenticate({"authorization": f"Bearer {key}"}).scopes == {"documents"}

    manage(capsys, "revoke_key", str(new["keyId"]))
    callers.forget_callers()
    with pytest.raises(ApiError):
        authenticate({"authorization": f"Bearer {new['key']}"})

    listed = {client["name"]: client for client in manage(capsys, "list_clients")}
    assert set(listed) == {"Acme", "Strange Corp"} and listed["Strange Corp"]["keys"] == []
    states = [(key["kind"], bool(key["expires"]), bool(key["revoked"])) for key in listed["Acme"]["keys"]]
    assert states == [("publishable", False, False), ("secret", True, False), ("secret", False, True)]
    assert made["publishableKey"] not in json.dumps(listed)


def test_a_successor_ends_when_it_is_told_to(acme: Client, acme_key: str, capsys: Any) -> None:
    made = manage(capsys, "create_key", "--replaces", acme_key, "--expires-days", "2", "--overlap-hours", "0")
    end = datetime.fromisoformat(made["expires"]) - timezone.now()
    assert timedelta(days=2, minutes=-1) < end < timedelta(days=2)
    with pytest.raises(ApiError):
        authenticate({"x-api-key": acme_key})
    assert authenticate({"x-api-key": made["key"]}).client == acme
    call_command("list_clients")
    assert [words.split()[-2] for words in capsys.readouterr().out.splitlines()[1:]] == ["expired", "expires"]


def test_after_the_overlap_only_the_successor_works(acme: Client) -> None:
    row, old = keys.mint(acme.pk, "secret", scopes=["usage"])
    _, new = keys.rotate(row, timedelta(seconds=-1))
    with pytest.raises(ApiError):
        authenticate({"authorization": f"Bearer {old}"})
    assert authenticate({"authorization": f"Bearer {new}"}).scopes == {"usage"}


def test_a_rotation_prolongs_no_key(acme: Client) -> None:
    soon = timezone.now() + timedelta(minutes=1)
    row, _ = keys.mint(acme.pk, "publishable", expires=soon)
    late, _ = keys.mint(acme.pk, "publishable", expires=soon + timedelta(days=9))
    revoked, _ = keys.mint(acme.pk, "publishable")
    keys.revoke(revoked)
    for each in (row, late, revoked):
        keys.rotate(each, timedelta(hours=1))
        with client_scope(acme.pk):
            each.refresh_from_db()
    assert (row.expires, revoked.expires) == (soon, None)
    assert late.expires is not None and late.expires < soon + timedelta(hours=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["create_client", "--name", " "],
        ["create_client", "--name", "x", "--domain", "*"],
        ["create_client", "--name", "x", "--domain", "a.example\nb.example"],
        ["create_key", "--client", "nobody"],
        ["create_key", "--client", "00000000-0000-0000-0000-000000000000"],
        ["create_key", "--client", "Acme Outdoor", "--kind", "secret"],
        ["create_key", "--client", "Acme Outdoor", "--name", "x" * 101],
        ["create_key", "--client", "Acme Outdoor", "--expires-days", "nan"],
        ["create_key", "--client", "Acme Outdoor", "--expires-days", "1e9"],
        ["create_key", "--client", "Acme Outdoor", "--expires-days", "-1"],
        ["create_key", "--client", "Acme Outdoor", "--overlap-hours", "1"],
        ["create_key", "--replaces", "1", "--scope", "usage"],
        ["create_key", "--replaces", "1", "--overlap-hours", "inf"],
        ["revoke_key", "9" * 30],
        ["revoke_key", "999999"],
        ["revoke_key", GOOD],
    ],
)
def test_commands_refuse_in_words_and_leave_nothing_behind(acme: Client, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command(*arguments)
    assert Client.objects.count() == 1
    with client_scope(acme.pk):
        assert not ApiKey.objects.exists()
