"""Passages as retrieval gives them, for tests of what is made of them."""

import uuid

from knowledge.search import Passage


def passage(
    text: str, *, number: int = 0, title: str = "Returns policy", score: float = 0.8, start: int = 100
) -> Passage:
    return Passage(
        chunk_id=uuid.uuid4(),
        document_id=f"doc-{number}",
        title=title,
        text=text,
        start=start,
        end=start + len(text),
        page=1,
        page_to=1,
        index=number,
        heading_path=(),
        score=score,
        version_id=1,
    )
