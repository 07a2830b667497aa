"""How much slower this machine is now than an idle one: its neighbours' doing, not the product's."""

import time


def crowd() -> float:
    """How many times slower, 1 or more: what of a moment a process gets.

    Deadlines of the tests are in seconds of an idle machine, for they are the product's to keep.
    """
    wall, own = time.monotonic(), time.thread_time()
    while time.thread_time() - own < 0.1:
        pass
    return max(1.0, (time.monotonic() - wall) / (time.thread_time() - own))
