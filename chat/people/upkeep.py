"""What each server process does for people and visitors: abandoned conversations are handed back, and addresses
that visitors left are told. Beside the caretaker, whose signs of life must not wait for a mail server."""

import asyncio

import structlog

from chat.people import feed, mail, takeover
from tenants.threads import in_thread

log = structlog.get_logger(__name__)
SECONDS = 10.0


async def run() -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(SECONDS)
        try:
            for client_id, session_id in await in_thread(takeover.hand_back_abandoned):
                await feed.tell(client_id, session_id)
            await in_thread(mail.send_due)
        except Exception as error:
            log.error("upkeep of people's conversations failed", exc_info=error)
