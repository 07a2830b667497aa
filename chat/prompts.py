"""What a model is told: rules and the client's instructions in the system role, everything else as fenced data.

Passages and visitors' texts may say anything. They are written between markers that carry a code made for
this request alone, after everything that could pass for a marker, or that a person would not see, is taken out.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chat.llms.contract import Prompt, Turn
from chat.rules import CITE_BY_MARK, CITE_NATIVELY, FENCE, OWNER, REWRITE, RULES
from chat.writing.sentences import sentences

if TYPE_CHECKING:
    from knowledge.search import Passage
    from tenants.models import Client


PROMPT_VERSION = 1  # part of the answer cache's key: raise it with every change of what a model is told
SMALLEST_CONTEXT = 8_192  # tokens; of the models that people run themselves
CHARACTERS_PER_TOKEN = 3  # on the safe side: English has four to five
LAST_TURNS = 6
LONGEST_TURN = 2_000  # characters
LONGEST_INSTRUCTIONS = 8_000
REWRITE_TOKENS = 120


def build(
    client: "Client",
    question: str,
    passages: Sequence["Passage"],
    history: Sequence[Turn] = (),
    *,
    context: int = SMALLEST_CONTEXT,
) -> Prompt:
    """The prompt for an answer. `history` is oldest first; its last turns are used. What doesn't fit in the model's
    `context` (in tokens) is left out: the oldest turns, then the last passages. Citations count `prompt.passages`."""
    system = RULES
    if client.instructions.strip():
        system += "\n" + OWNER.format(instructions=clean(client.instructions)[:LONGEST_INSTRUCTIONS].strip())
    prompt = Prompt(system, tuple(passages), _recent(history), question, new_fence())
    room = (context - prompt.max_tokens) * CHARACTERS_PER_TOKEN
    while _size(prompt) > room and (prompt.history or len(prompt.passages) > 1):
        if prompt.history:
            prompt = replace(prompt, history=_recent(prompt.history[1:]))
        else:
            prompt = replace(prompt, passages=prompt.passages[:-1])
    return prompt


def _size(prompt: Prompt) -> int:
    texts = [passage.text for passage in prompt.passages] + [turn.text[:LONGEST_TURN] for turn in prompt.history]
    return len(prompt.system) + len(CITE_BY_MARK) + len(prompt.question) + sum(map(len, texts))


def build_rewrite(question: str, history: Sequence[Turn]) -> Prompt:
    """The prompt for the small call that makes a follow-up question stand alone."""
    return Prompt(REWRITE, (), _recent(history), question, new_fence(), max_tokens=REWRITE_TOKENS)


def _recent(history: Sequence[Turn]) -> tuple[Turn, ...]:
    """The last turns, beginning with a visitor's (models refuse a conversation that an assistant opens)."""
    turns = list(history[-LAST_TURNS:])
    while turns and turns[0].role != "visitor":
        del turns[0]
    return tuple(turns)


def new_fence() -> str:
    """64 random bits: a text can't contain it but by knowing it."""
    return secrets.token_hex(8)


# --- cleaning ---------------------------------------------------------------------------------------------

# Controls but tab and newline; soft hyphen; Arabic letter mark; Hangul fillers; Mongolian separators; zero-width, bidi
# and invisible operators; variation selectors; byte-order mark; annotations; tags and more selectors; lone surrogates.
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_ANGLES = "<＜﹤‹〈《«>＞﹥›〉》»"
_INVISIBLE = re.compile(f"[{_UNSEEN}]")
_SUSPECT = re.compile(rf"[{_UNSEEN}{_ANGLES}]|\[/?[Ii][Nn][Ss][Tt]")  # without any of these there is nothing to clean
_BREAKS = re.compile("\r\n?|[\u2028\u2029\x85\x0b\x0c]")
_MARKERS = re.compile(r"[<＜﹤‹〈《«]{2,}|[>＞﹥›〉》»]{2,}")
# Tokens by which open models' chat templates tell roles apart; a server may take them literally from a text.
_ROLE_TOKENS = re.compile(
    r"<\|[^|>\n]{0,40}\|>|<[｜|][^>\n]{0,40}[｜|]>|\[/?INST\]|</?s>|</?(?:start|end)_of_turn>|<\|?/?(?:im_start|im_end)\|?>",
    re.I,
)


def clean(text: str, fence: str = "") -> str:
    """`text` without what a reader would not see and without anything that resembles a marker of ours."""
    if not _SUSPECT.search(text) and (not fence or fence not in text):
        return text
    text = _INVISIBLE.sub("", _BREAKS.sub("\n", text))
    previous = None
    while previous != text:  # taking one thing out may join the halves of another
        previous = text
        text = _MARKERS.sub(lambda match: match.group()[0], _ROLE_TOKENS.sub("", text))
        if fence:
            text = text.replace(fence, "")
    return text


def _fenced(fence: str, label: str, text: str) -> str:
    return f"{_opening(fence, label)}\n{text}\n{fence}>>>"


def _opening(fence: str, label: str) -> str:
    return f"<<<{fence} {label}"


def _heading(passage: "Passage", fence: str) -> str:
    """Title and headings on one line each; file names and titles are as hostile as any text."""
    path = " > ".join(passage.heading_path)
    lines = [f"Title: {passage.title}"] + ([f"Section: {path}"] if path else [])
    return "\n".join(" ".join(clean(line, fence).split())[:300] for line in lines)


# --- for OpenAI and its kin ---------------------------------------------------------------------------------


def openai_messages(prompt: Prompt) -> list[Any]:
    """The prompt as chat messages; what varies stands last, so that the provider's own prefix cache can work."""
    system = prompt.system + (f"\n{CITE_BY_MARK}" if prompt.passages else "")
    system += "\n" + FENCE.format(fence=prompt.fence)
    last = "\n\n".join([*_passage_texts(prompt), _question(prompt)])
    return [{"role": "system", "content": system}, *_turns(prompt), {"role": "user", "content": last}]


def _passage_texts(prompt: Prompt) -> Iterable[str]:
    for number, passage in enumerate(prompt.passages, 1):
        text = f"{_heading(passage, prompt.fence)}\n\n{clean(passage.text, prompt.fence)}"
        yield _fenced(prompt.fence, f"passage {number}", text)


def _question(prompt: Prompt) -> str:
    return _fenced(prompt.fence, "visitor", clean(prompt.question, prompt.fence))


def _turns(prompt: Prompt) -> list[Any]:
    messages = []
    for turn in prompt.history:
        text = clean(turn.text, prompt.fence)[:LONGEST_TURN].strip() or "(nothing)"
        if turn.role == "visitor":
            messages.append({"role": "user", "content": _fenced(prompt.fence, "visitor", text)})
        else:
            messages.append({"role": "assistant", "content": text})
    return messages


# --- for Anthropic --------------------------------------------------------------------------------------------


def anthropic_system(prompt: Prompt, *, native: bool) -> list[Any]:
    """The stable part, marked for the cache, and after it the part that is new in every request."""
    stable = prompt.system
    if prompt.passages:
        stable += "\n" + (CITE_NATIVELY if native else CITE_BY_MARK)
    return [
        {"type": "text", "text": stable, "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": FENCE.format(fence=prompt.fence)},
    ]


def anthropic_messages(prompt: Prompt, *, native: bool) -> list[Any]:
    """The conversation; with `native`, passages as search results that the provider can cite by the sentence."""
    blocks: list[Any]
    if native:
        blocks = [_search_result(number, passage, prompt.fence) for number, passage in enumerate(prompt.passages, 1)]
    else:
        blocks = [{"type": "text", "text": text} for text in _passage_texts(prompt)]
    blocks.append({"type": "text", "text": _question(prompt)})
    return [*_turns(prompt), {"role": "user", "content": blocks}]


def _search_result(number: int, passage: "Passage", fence: str) -> dict[str, Any]:
    """Block 0 opens the fence, block n is the passage's sentence n - 1, the last one closes the fence."""
    texts = [clean(passage.text[start:end], fence) for start, end in sentences(passage.text)]
    opening = f"{_opening(fence, f'passage {number}')}\n{_heading(passage, fence)}\n"
    blocks = [opening, *(text if text.strip() else "-" for text in texts), f"{fence}>>>"]  # a blank one is refused
    return {
        "type": "search_result",
        "source": f"passage-{number}",
        "title": f"Passage {number}",
        "content": [{"type": "text", "text": text} for text in blocks],
        "citations": {"enabled": True},
    }
