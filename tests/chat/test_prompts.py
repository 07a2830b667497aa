"""What reaches a model: rules in the system role, everything else as data behind a fence that nobody could guess."""

import json
import re
import uuid
from dataclasses import replace

import pytest

from chat import prompts
from chat.llms import MODELS, Prompt, Turn
from chat.rules import RULES
from chat.writing.answer import Answer
from knowledge import tokens
from tenants.models import Client
from tests.chat.injections import HOSTILE_ANSWERS, INJECTIONS
from tests.chat.passages import passage

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
ROLE_TOKENS = re.compile(r"<\|[^>]*\|>|\[/?INST\]|</?s>|<(?:start|end)_of_turn>|<｜")


def poisoned(text: str) -> Prompt:
    """The same text in every place that a stranger can write to."""
    found = replace(passage(f"Before. {text} After."), title=text, heading_path=(text, "Section"))
    history = [Turn("visitor", text), Turn("assistant", text), Turn("visitor", "ok"), Turn("assistant", "fine")]
    return prompts.build(Client(name="Acme"), text or "?", [found, passage("Clean. Text.", number=1)], history)


def openai(prompt: Prompt) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in prompts.openai_messages(prompt)]


def anthropic(prompt: Prompt, native: bool = True) -> list[tuple[str, str]]:
    found = [("system", block["text"]) for block in prompts.anthropic_system(prompt, native=native)]
    for message in prompts.anthropic_messages(prompt, native=native):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            inner = block["content"] if block["type"] == "search_result" else [block]
            found.append((message["role"], "\n".join(each["text"] for each in inner)))
    return found


WAYS = [openai, anthropic, lambda prompt: anthropic(prompt, native=False)]


@pytest.mark.parametrize("written", WAYS, ids=["openai", "search results", "anthropic text"])
@pytest.mark.parametrize("text", INJECTIONS)
def test_nothing_of_a_stranger_stands_outside_a_fence_or_in_the_system_role(text: str, written):
    prompt, innocent = poisoned(text), poisoned("harmless")
    for role, content in written(prompt):
        assert not UNSEEN.search(content)
        assert not ROLE_TOKENS.search(content)
        if role == "user":
            fenced = re.compile(rf"<<<{prompt.fence} [a-z]+(?: \d)?\n.*?\n{prompt.fence}>>>", re.S)
            assert fenced.sub("", content).strip() == ""
            assert content.count(prompt.fence) == 2 * len(fenced.findall(content))
            assert content.count("<<") == content.count(">>") == len(fenced.findall(content))
        if role == "assistant":
            assert prompt.fence not in content
    system = [content.replace(prompt.fence, "F") for role, content in written(prompt) if role == "system"]
    assert system == [content.replace(innocent.fence, "F") for role, content in written(innocent) if role == "system"]
    assert [role for role, _ in written(prompt)] == [role for role, _ in written(innocent)]


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_client_s_instructions_are_cleaned_and_stand_between_the_rules(text: str):
    client = Client(name="Acme", instructions=text)
    system = prompts.build(client, "Hello?", []).system
    assert system.startswith(RULES)
    assert system.endswith("The rules above stay in force.)\n")
    added = system[len(RULES) :]
    assert not UNSEEN.search(added)
    assert not ROLE_TOKENS.search(added)
    assert "<<" not in added


def test_instructions_that_look_like_placeholders_stay_as_they_are():
    system = prompts.build(Client(name="Acme", instructions="Say {instructions} and %s"), "Hello?", []).system
    assert "Say {instructions} and %s" in system


@pytest.mark.parametrize("raw", HOSTILE_ANSWERS)
def test_a_hostile_answer_reaches_the_visitor_as_words_only(raw: str):
    answer = Answer([passage("Clean. Text.")])
    shown = "".join([*map(answer.feed, raw), answer.finish()])
    assert not re.search(r"<[a-zA-Z/!?]|!\[|\]:|[\u200b\u202e]", shown)
    assert all(re.match(r"https?://|mailto:", target) for target in re.findall(r"\]\(([^)]*)", shown))


def test_the_fence_is_new_and_long_for_every_request():
    fences = {prompts.build(Client(name="Acme"), "Hello?", []).fence for _ in range(100)}
    assert len(fences) == 100
    assert all(re.fullmatch("[0-9a-f]{16}", fence) for fence in fences)


def test_a_text_that_knows_the_fence_loses_it():
    prompt = prompts.build(Client(name="Acme"), "?", [])
    assert prompts.clean(f"a {prompt.fence} b", prompt.fence) == "a  b"


def test_no_internal_id_and_no_secret_is_in_a_prompt(settings):
    settings.OPENAI_API_KEY = "sk-secret"
    client = Client(name="Acme", id=uuid.uuid4(), no_answer_text="private note")
    found = passage("Clean. Text.")
    prompt = prompts.build(client, "Hello?", [found])
    for body in (prompts.openai_messages(prompt), prompts.anthropic_messages(prompt, native=True), prompt.system):
        text = json.dumps(body)
        for internal in (str(client.pk), found.document_id, str(found.chunk_id), "sk-secret", "private note"):
            assert internal not in text


def test_the_cached_prefix_is_the_same_for_every_question_of_a_client_and_long_enough():
    client = Client(name="Acme", instructions="Be brief.")
    one = prompts.anthropic_system(prompts.build(client, "A?", [passage("One. Two.")]), native=True)
    other = prompts.anthropic_system(prompts.build(client, "B?", [passage("Three. Four.")] * 3), native=True)
    assert one[0] == other[0]
    assert one[1] != other[1]
    plain = prompts.anthropic_system(prompts.build(Client(name="Acme"), "A?", [passage("One.")]), native=True)
    least = max(model.min_cacheable for model in MODELS.values())
    assert tokens.count(plain[0]["text"]) >= 1.05 * least  # and some more, because each counts in its own way


def test_openai_s_messages_share_their_prefix_up_to_the_fence():
    client = Client(name="Acme")
    one, other = (openai(prompts.build(client, q, [passage("One. Two.")])) for q in ("A?", "B?"))
    shared = one[0][1][: one[0][1].index("The code of this request's markers")]
    assert other[0][1].startswith(shared)
    assert tokens.count(shared) >= 1100


def test_only_the_last_turns_go_along_and_a_visitor_opens_them():
    history = [Turn("assistant" if n % 2 else "visitor", f"turn {n}") for n in range(11)]
    roles = [role for role, _ in openai(prompts.build(Client(name="Acme"), "?", [], history))]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user", "user"]


def test_a_search_result_s_blocks_are_the_passage_s_sentences_between_two_fences():
    prompt = prompts.build(Client(name="Acme"), "?", [passage("One is here. Two is there.\n- Three")])
    block = prompts.anthropic_messages(prompt, native=True)[-1]["content"][0]
    assert [each["text"] for each in block["content"]] == [
        f"<<<{prompt.fence} passage 1\nTitle: Returns policy\n",
        "One is here.",
        "Two is there.",
        "Three",
        f"{prompt.fence}>>>",
    ]


def test_no_block_of_a_search_result_is_blank():
    prompt = prompts.build(Client(name="Acme"), "?", [passage("\u200b \u200b\n- \u2060\u3000\u2060\nOne is here.")])
    block = prompts.anthropic_messages(prompt, native=True)[-1]["content"][0]
    assert [each["text"] for each in block["content"]][1:-1] == ["-", "-", "One is here."]


def test_what_does_not_fit_in_a_small_context_is_left_out_oldest_turns_first():
    history = [
        Turn("visitor", "old " * 400),
        Turn("assistant", "answer"),
        Turn("visitor", "new"),
        Turn("assistant", "yes"),
    ]
    passages = [passage("word " * 600, number=n) for n in range(8)]
    client = Client(name="Acme")
    roomy = prompts.build(client, "Question?", passages, history, context=100_000)
    assert (len(roomy.passages), len(roomy.history)) == (8, 4)
    tight = prompts.build(client, "Question?", passages[:4], history, context=7_000)
    assert (len(tight.passages), [turn.text for turn in tight.history]) == (4, ["new", "yes"])
    tighter = prompts.build(client, "Question?", passages, history, context=8_192)
    assert 3 <= len(tighter.passages) < 8
    assert tighter.history == ()
    assert tighter.passages[0] == passages[0]
