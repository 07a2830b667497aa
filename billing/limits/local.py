"""The hours' counts of this process, for where there is no Redis or it is away."""

import threading


class LocalCounts:
    """Exact counts for this process; each step holds the lock, so any number of threads may take places."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def knows(self, key: str) -> bool:
        return key in self._counts

    def take(self, key: str, floor: int, cap: int | None) -> int | None:
        """The place taken, starting above `floor`; None when `cap` places are gone."""
        with self._lock:
            if key not in self._counts and len(self._counts) >= 10_000:
                self._counts.clear()  # hours gone by; a present one starts again from the books
            place = max(self._counts.get(key, 0), floor) + 1
            if cap is not None and place > cap:
                return None
            self._counts[key] = place
            return place

    def give_back(self, key: str) -> None:
        with self._lock:
            if self._counts.get(key, 0) > 0:
                self._counts[key] -= 1

    def count(self, key: str) -> int:
        return self._counts.get(key, 0)

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()
