"""What each server process does for people and visitors: abandoned conversations are handed back, and addresses
that visitors left are told. Beside the caretaker, whose signs of life must not wait for a mail server."""

import asyncio

import structlog
from channels.db import database_sync_to_async

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
            # Not in a thread that answers query in: a mail server may take its time.
            await database_sync_to_async(mail.send_due, thread_sensitive=False)()
        except Exception as error:
            log.error("upkeep of people's conversations failed", exc_info=error)
