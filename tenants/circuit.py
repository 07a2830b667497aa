"""A service that has just failed is left alone for a moment, so that requests don't wait for it in vain."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import structlog

log = structlog.get_logger(__name__)


class Circuit:
    """After a failure nobody tries for REST_SECONDS; then one call does, and the rest follow it.

    `what` goes on without the service meanwhile: for the log.
    """

    REST_SECONDS = 1.0

    def __init__(self, what: str, service: str = "Redis") -> None:
        self._what, self._service = what, service
        self.resting_until = 0.0  # 0: the service is well

    @property
    def resting(self) -> bool:
        return time.monotonic() < self.resting_until

    def may_try(self) -> bool:
        """False while resting; the first call after the rest becomes the trial."""
        now = time.monotonic()
        if now < self.resting_until:
            return False
        if self.resting_until:
            self.resting_until = now + self.REST_SECONDS
        return True

    def failed(self, error: BaseException) -> None:
        if not self.resting_until:
            log.warning(f"{self._what} without {self._service}", error=type(error).__name__)
        self.resting_until = time.monotonic() + self.REST_SECONDS

    def worked(self) -> None:
        if self.resting_until:
            log.warning(f"{self._what} with {self._service} again")
        self.resting_until = 0.0

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[bool]:
        """May it be asked? For a block that can do without the service: it ends after so long, or where it fails."""
        if not self.may_try():
            yield False
            return
        try:
            async with asyncio.timeout(seconds):
                yield True
            self.worked()
        except Exception as error:  # noqa: BLE001 - logged once, and the block's caller goes on without
            self.failed(error)
