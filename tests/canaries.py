"""Strings planted in somebody's data, and everywhere that such data could lie."""

import os
from pathlib import Path

import psycopg
import redis
from django.conf import settings
from django.db import connection

from tenants.redis_nodes import addresses
from tests.flows.installation import named


def places(canary: str) -> set[str]:
    """Where the string is found: tables, keys and values of Redis, files (the embedded store's vectors among them)."""
    return tables(canary) | keys(canary) | files(canary)


def tables(canary: str) -> set[str]:
    """As the superuser, whom no policy binds."""
    found = set()
    with psycopg.connect(named(os.environ["DATABASE_OWNER_URL"], connection.settings_dict["NAME"])) as superuser:
        names = superuser.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'tenancy')"
        ).fetchall()
        for (name,) in names:
            if superuser.execute(f"SELECT 1 FROM {name} t WHERE t::text ILIKE %s LIMIT 1", [f"%{canary}%"]).fetchone():
                found.add(name.removeprefix("public."))
    return found


def keys(canary: str) -> set[str]:
    """By the first part of the key's name; of a cluster, on every node."""
    return {name for address in addresses(settings.REDIS_URL) for name in _keys(canary, address)}


def _keys(canary: str, address: str) -> set[str]:
    server = redis.Redis.from_url(address)
    readers = {
        b"string": server.get,
        b"hash": server.hgetall,
        b"set": server.smembers,
        b"zset": lambda key: server.zrange(key, 0, -1),
        b"list": lambda key: server.lrange(key, 0, -1),
        b"stream": server.xrange,
    }
    found = set()
    for key in server.scan_iter():
        kind = server.type(key)
        if kind in readers and canary.lower() in (key.decode("latin1") + str(readers[kind](key))).lower():
            found.add("redis:" + key.decode("latin1").split(":")[0])
    return found


def files(canary: str) -> set[str]:
    root = Path(settings.DATA_DIR)
    spoken = canary.lower().encode()
    return {
        "file:" + path.relative_to(root).parts[0]
        for path in root.rglob("*")
        if path.is_file() and spoken in path.read_bytes().lower()
    }
