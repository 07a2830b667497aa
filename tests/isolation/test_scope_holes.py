"""Every way of asking for rows, at every client-owned model: with no client in scope it fails, in another
client's scope the answer is what it would be if the first client did not exist."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Value

from billing.models import Immutable
from tenants import statements
from tenants.models import Client
from tenants.scoping import ClientOwned, NoClientInScope, WrongClient, client_scope, current_client
from tests.isolation.rows import OWNED, canary, furnish

Ask = Callable[[type[ClientOwned], Any], Any]
REFUSALS = (WrongClient, ObjectDoesNotExist, NotImplementedError, Immutable)
REFUSED = ("WrongClient", "Immutable", "NotImplementedError")


def ids(rows: Any) -> list[str]:
    return sorted(str(row.pk) for row in rows)


async def _async_ids(queryset: Any) -> list[str]:
    return ids([row async for row in queryset])


def _plain(queryset: Any, method: str, *args: Any, **values: Any) -> Any:
    async def ask() -> Any:
        return await getattr(queryset, method)(*args, **values)

    return async_to_sync(ask)()


def _related(model: type[ClientOwned]) -> list[str]:
    return [f.name for f in model._meta.concrete_fields if isinstance(f, models.ForeignKey)]


# `id` is the id of a row of the other client (or one that nobody has).
READS: dict[str, Ask] = {
    "all": lambda m, id: ids(m.objects.all()),
    "base manager": lambda m, id: ids(m._base_manager.all()),
    "default manager": lambda m, id: ids(m._default_manager.using("default")),
    "filter": lambda m, id: ids(m.objects.filter(pk=id)),
    "filter or everything": lambda m, id: ids(m.objects.filter(Q(pk=id) | ~Q(pk=None))),
    "exclude": lambda m, id: ids(m.objects.exclude(pk=None)),
    "get": lambda m, id: m.objects.get(pk=id).pk,
    "first": lambda m, id: str(m.objects.order_by("pk").first().pk),
    "last": lambda m, id: str(m.objects.order_by("pk").last().pk),
    "latest": lambda m, id: str(m.objects.latest("pk").pk),
    "slice": lambda m, id: ids(m.objects.order_by("pk")[0:5]),
    "count": lambda m, id: m.objects.count(),
    "exists": lambda m, id: m.objects.exists(),
    "exists of the id": lambda m, id: m.objects.filter(pk=id).exists(),
    "exists of an exclusion": lambda m, id: m.objects.exclude(client_id=None).exists(),
    "contains": lambda m, id: m.objects.contains(m(pk=id)),
    "in_bulk": lambda m, id: sorted(map(str, m.objects.in_bulk([id]))),
    "in_bulk of all": lambda m, id: sorted(map(str, m.objects.in_bulk())),
    "iterator": lambda m, id: ids(m.objects.iterator(chunk_size=2)),
    "values": lambda m, id: sorted(str(row["pk"]) for row in m.objects.values("pk")),
    "values_list": lambda m, id: sorted(map(str, m.objects.values_list("pk", flat=True))),
    "only": lambda m, id: [row.client_id for row in m.objects.only("pk").order_by("pk")],
    "distinct": lambda m, id: ids(m.objects.distinct()),
    "reverse": lambda m, id: ids(m.objects.order_by("pk").reverse()),
    "aggregate": lambda m, id: m.objects.aggregate(n=Count("pk"))["n"],
    "annotate": lambda m, id: [row["n"] for row in m.objects.values("client_id").annotate(n=Count("pk"))],
    "alias": lambda m, id: ids(m.objects.alias(c=F("client_id")).exclude(c=None)),
    "union": lambda m, id: ids(m.objects.order_by().union(m._base_manager.order_by(), all=True)),
    "intersection": lambda m, id: ids(m.objects.order_by().intersection(m._base_manager.order_by())),
    "difference": lambda m, id: ids(m.objects.order_by().difference(m._base_manager.order_by().none())),
    "or of two": lambda m, id: ids(m.objects.filter(pk=id) | m.objects.all()),
    "and of two": lambda m, id: ids(m.objects.filter(pk=id) & m.objects.all()),
    "subquery": lambda m, id: ids(m.objects.filter(pk__in=m._base_manager.values("pk"))),
    "exists subquery of Client": lambda m, id: _clients(Client.objects.filter(Exists(_of_outer_client(m)))),
    "subquery in Client": lambda m, id: _clients(Client.objects.filter(pk__in=m.objects.values("client_id"))),
    "select_for_update": lambda m, id: ids(m.objects.select_for_update(of=("self",)).all()),
    "select_related": lambda m, id: [row.client.pk for row in m.objects.select_related(*_related(m))],
    "prefetch_related": lambda m, id: ids(m.objects.prefetch_related(*_related(m))),
    "pickled": lambda m, id: ids(_unpickled(m)),
    "refresh_from_db": lambda m, id: m(pk=id).refresh_from_db(),
    "raw": lambda m, id: ids(m.objects.raw(f'SELECT * FROM "{m._meta.db_table}"')),
    "extra": lambda m, id: ids(m.objects.extra(where=["1=1"])),
    "explain": lambda m, id: bool(m.objects.all().explain()),
    "async for": lambda m, id: async_to_sync(_async_ids)(m.objects.all()),
    "async for of an exclusion": lambda m, id: async_to_sync(_async_ids)(m.objects.exclude(pk=None)),
    "aexists": lambda m, id: _plain(m.objects.all(), "aexists"),
    "acount": lambda m, id: _plain(m.objects.all(), "acount"),
    "aget": lambda m, id: _plain(m.objects.all(), "aget", Q(pk=id)),
    "afirst": lambda m, id: str(_plain(m.objects.order_by("pk"), "afirst").pk),
    "ain_bulk": lambda m, id: sorted(map(str, _plain(m.objects.all(), "ain_bulk", [id]))),
    "statement select": lambda m, id: sorted(str(row[0]) for row in statements.select(m, [m._meta.pk.name])),
    "look_up": lambda m, id: statements.look_up(m, _column(m), **{m._meta.pk.name: id}),
}  # fmt: skip

WRITES: dict[str, Ask] = {
    "update of the id": lambda m, id: m.objects.filter(pk=id).update(**{_column(m): F(_column(m))}),
    "aupdate of the id": lambda m, id: _plain(m.objects.filter(pk=id), "aupdate", **{_column(m): F(_column(m))}),
    "update of the client": lambda m, id: m.objects.update(client=_other_client(m, id)),
    "delete of the id": lambda m, id: m.objects.filter(pk=id).delete()[0],
    "delete of an instance": lambda m, id: m(pk=id, client_id=_other_client(m, id)).delete(),
    "delete of an instance that says it is ours": lambda m, id: m(pk=id, client_id=current_client()).delete()[0],
    "save of an instance": lambda m, id: m(pk=id, client_id=_other_client(m, id)).save(),
    "forced update of an instance": lambda m, id: m(pk=id, client_id=_other_client(m, id)).save(force_update=True),
    "create": lambda m, id: m.objects.create(client_id=_other_client(m, id)),
    "bulk_create": lambda m, id: m.objects.bulk_create([m(client_id=_other_client(m, id))]),
    "bulk_create over conflicts": lambda m, id: m.objects.bulk_create(
        [m(pk=id)], update_conflicts=True, unique_fields=[m._meta.pk.name], update_fields=["client"]
    ),
    "bulk_create over conflicts, by position": lambda m, id: m.objects.bulk_create(
        [m(pk=id)], None, False, True, ["client"], [m._meta.pk.name]
    ),
    "save_base": lambda m, id: m(pk=id, client_id=_other_client(m, id)).save_base(),
    "save_base of a new row, as of a fixture": lambda m, id: models.Model.save_base(
        m(client_id=_other_client(m, id)), raw=True, force_insert=True
    ),
    "bulk_update": lambda m, id: m.objects.bulk_update([m(pk=id, client_id=_other_client(m, id))], ["client"]),
    "get_or_create": lambda m, id: m.objects.get_or_create(pk=id, client_id=_other_client(m, id)),
    "update_or_create": lambda m, id: m.objects.update_or_create(pk=id, client_id=_other_client(m, id)),
    "acreate": lambda m, id: _plain(m.objects, "acreate", client_id=_other_client(m, id)),
    "abulk_create": lambda m, id: _plain(m.objects, "abulk_create", [m(client_id=_other_client(m, id))]),
    "adelete": lambda m, id: _plain(m.objects.filter(pk=id), "adelete")[0],
    "statement update": lambda m, id: statements.update(m, {_column(m): None}, **{m._meta.pk.name: id}),
    "statement update of the client": lambda m, id: statements.update(m, {"client": _other_client(m, id)}),
    "statement insert": lambda m, id: statements.insert(m, {"client": _other_client(m, id)}),
    "statement take": lambda m, id: statements.take(m, _column(m), **{m._meta.pk.name: id}) or 0,
}


def _column(model: type[ClientOwned]) -> str:
    return next(f.name for f in model._meta.concrete_fields if not f.primary_key and not f.is_relation)


_others: dict[Any, Any] = {}  # id of a row -> its client


def _other_client(model: type[ClientOwned], id: Any) -> Any:
    return _others[model, id]


def _of_outer_client(model: type[ClientOwned]) -> Any:
    return model.objects.filter(client_id=OuterRef("pk"))


def _clients(queryset: Any) -> list[str]:
    return sorted(str(client.pk) for client in queryset)


def _unpickled(model: type[ClientOwned]) -> Any:
    queryset = model.objects.all()
    queryset.query = pickle.loads(pickle.dumps(queryset.query))
    return queryset


def outcome(ask: Ask, model: type[ClientOwned], id: Any) -> Any:
    try:
        with transaction.atomic():
            return ask(model, id)
    except REFUSALS as refusal:
        return type(refusal).__name__


def test_without_a_client_every_question_fails(acme: Client) -> None:
    rows = furnish(acme)
    answered = {}
    for model, row in rows.items():
        _others[model, row.pk] = acme.pk
        for name, ask in (READS | WRITES).items():
            try:
                with transaction.atomic():
                    answered[model.__name__, name] = ask(model, row.pk)
            except (NoClientInScope, NotImplementedError, Immutable, WrongClient):
                continue
    assert answered == {}


def test_a_stranger_reads_as_if_the_client_did_not_exist(acme: Client, stranger: Client) -> None:
    own = furnish(stranger)
    absent = {model: row.pk for model, row in furnish(acme).items()}
    with client_scope(acme.pk):
        for model in reversed(OWNED):
            model._base_manager.all()._raw_delete("default")

    def answers(ids: dict[type[ClientOwned], Any]) -> dict[str, dict[str, Any]]:
        with client_scope(stranger.pk):
            return {m.__name__: {name: outcome(ask, m, ids[m]) for name, ask in READS.items()} for m in OWNED}

    before = answers(absent)
    after = answers({model: row.pk for model, row in furnish(acme).items()})
    assert after == before
    assert canary(acme) not in str(after)
    for model in OWNED:  # the stranger does see its own
        assert before[model.__name__]["count"] >= 1 and str(own[model].pk) in before[model.__name__]["all"]


def test_a_stranger_changes_nothing(acme: Client, stranger: Client) -> None:
    furnish(stranger)
    rows = furnish(acme)
    before = _everything(acme)
    done = {}
    for model, row in rows.items():
        _others[model, row.pk] = acme.pk
        with client_scope(stranger.pk):
            done |= {(model.__name__, name): outcome(ask, model, row.pk) for name, ask in WRITES.items()}
    assert _everything(acme) == before
    assert {key: what for key, what in done.items() if what not in (0, *REFUSED)} == {}


def _everything(client: Client) -> Any:
    with client_scope(client.pk):
        return {model.__name__: list(model.objects.order_by("pk").values()) for model in OWNED}


def test_a_queryset_does_not_outlive_its_scope(acme: Client, stranger: Client) -> None:
    model = OWNED[0]
    furnish(acme)
    own = furnish(stranger)[model]
    with client_scope(acme.pk):
        kept = model.objects.all()
    for use in (
        lambda: list(kept),
        kept.count,
        kept.exists,
        kept.delete,
        lambda: kept.update(client=acme),
        kept.explain,
    ):
        with pytest.raises((NoClientInScope, WrongClient)), transaction.atomic():
            use()
    with client_scope(stranger.pk):
        assert ids(kept) == [str(own.pk)]


def test_related_sets_and_forward_access_stay_within_the_client(acme: Client, stranger: Client) -> None:
    from chat.models import Message, Session

    theirs, mine = furnish(acme), furnish(stranger)
    session = theirs[Session]
    with client_scope(stranger.pk):
        assert list(session.messages.all()) == []
        for write in (
            lambda: session.messages.add(mine[Message]),
            lambda: session.messages.set([mine[Message]]),
            lambda: session.messages.create(trace_id=mine[Message].trace_id, role="visitor"),
            lambda: mine[Session].messages.add(theirs[Message], bulk=False),
            lambda: Message.objects.update(session=session),
            lambda: Message.objects.create(session=session, trace_id=mine[Message].trace_id, role="visitor"),
        ):
            with pytest.raises(WrongClient), transaction.atomic():
                write()
        with pytest.raises(WrongClient), transaction.atomic():
            Message(session_id=Value(session.pk), trace_id=mine[Message].trace_id, role="visitor").save()
        with pytest.raises((WrongClient, IntegrityError)), transaction.atomic():
            Message.objects.update(session_id=Value(session.pk))
            connection.check_constraints()
        assert Message.objects.update(session_id=Value(mine[Session].pk)) == 1
        mine[Session].messages.add(theirs[Message])  # finds no such row to change
        with pytest.raises(Session.DoesNotExist):
            Message(session_id=session.pk).session  # noqa: B018
    with client_scope(acme.pk):
        assert [message.pk for message in session.messages.all()] == [theirs[Message].pk]
    with pytest.raises(NoClientInScope):
        session.messages.all()
