"""A download that is written as it is made."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

PIECE = 64 * 1024  # characters; smaller ones are sent together


def json_download(pieces: Iterator[str], name: str) -> StreamingHttpResponse:
    """JSON that comes in pieces, as a file. (An iterator that is not asynchronous would be read whole beforehand.)"""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(_sent(pieces), content_type="application/json", headers=headers)


async def _sent(pieces: Iterator[str]) -> AsyncIterator[bytes]:
    while part := await sync_to_async(_part)(pieces):
        yield part.encode()


def _part(pieces: Iterator[str]) -> str:
    gathered: list[str] = []
    length = 0
    for piece in pieces:
        gathered.append(piece)
        length += len(piece)
        if length >= PIECE:
            break
    return "".join(gathered)
