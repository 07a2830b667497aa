"""Where tapes are found: in this process, or, through Redis, in another one.

With REDIS_URL every event is written to a Redis stream (recorder.py) before any follower sees it, so any server
process can follow the answer (reader.py). One task an event loop writes for all answers, and one reads for all
followers of answers made elsewhere: two connections, however many visitors. Without Redis, or while it is away, a tape
lives in its process (house.py), and nothing of Redis is loaded.
"""

from chat.tapes.connection import Away, client, step
from chat.tapes.erasure import ask_whether_erased, erase, forget_client, honour_erasures, recorded
from chat.tapes.house import find, forget_later, kept, make, running, settle, stop_mirroring
from chat.tapes.reader import when_dead
from chat.tapes.records import HEARTBEAT, Record, beat, conclude, interrupted, is_alive, read

__all__ = [
    "HEARTBEAT",
    "Away",
    "Record",
    "ask_whether_erased",
    "beat",
    "client",
    "conclude",
    "erase",
    "find",
    "forget_client",
    "forget_later",
    "honour_erasures",
    "interrupted",
    "is_alive",
    "kept",
    "make",
    "read",
    "recorded",
    "running",
    "settle",
    "step",
    "stop_mirroring",
    "when_dead",
]
