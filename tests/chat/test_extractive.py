"""The offline answerer on an ordinary shop's documents: the right sentence, cited, or an honest refusal."""

import pytest

from chat import llms, prompts
from chat.writing.answer import Answer
from tenants.models import Client
from tests.chat.passages import passage

SHOP = [
    passage(text, number=number, title=title, score=0.6)
    for number, (title, text) in enumerate(
        [
            (
                "Returns policy",
                "Returns\nYou can return any item within 30 days of delivery. Items must be unused and in their "
                "original packaging. Sale items can't be returned. Refunds are made to the original payment method "
                "within 5 working days.",
            ),
            (
                "Shipping",
                "Delivery\nStandard delivery takes three to five working days. Express delivery arrives the next day "
                "and costs 9.90 euros. Shipping is free for orders over 50 euros. We ship to all EU countries and "
                "Switzerland.",
            ),
            (
                "Contact",
                "Customer service\nYou can reach our support team by e-mail at help@acme.example or by phone at "
                "+49 30 1234567. We are open Monday to Friday from 9:00 to 17:00.",
            ),
            (
                "Warranty",
                "Warranty\nAll tents carry a two-year warranty against defects in material. Damage from normal wear is "
                "not covered. To claim, send a photo of the damage with your order number.",
            ),
            ("Rückgabe", "Sie können Artikel innerhalb von 30 Tagen zurückgeben. Der Versand kostet 4,90 Euro."),
        ]
    )
]


async def answered(question: str, passages=SHOP) -> tuple[str, list[dict], llms.Stream]:
    answer = Answer(passages)
    async with llms.stream(prompts.build(Client(name="Acme"), question, passages), llms.EXTRACTIVE) as stream:
        text = "".join([answer.feed(piece) async for piece in stream])
    return text + answer.finish(), answer.sources(), stream


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("How long do I have to return boots?", "You can return any item within 30 days of delivery."),
        ("Can I send back sale items?", "Sale items can't be returned."),
        ("When will I get my refund?", "Refunds are made to the original payment method within 5 working days."),
        ("I want my money back", "Refunds are made to the original payment method within 5 working days."),
        ("How much is express shipping?", "Express delivery arrives the next day and costs 9.90 euros."),
        ("How long does delivery take?", "Standard delivery takes three to five working days."),
        ("Do you ship to Switzerland?", "We ship to all EU countries and Switzerland."),
        ("What's your phone number?", "+49 30 1234567"),
        ("What are your opening hours?", "We are open Monday to Friday from 9:00 to 17:00."),
        ("How do I make a warranty claim?", "To claim, send a photo of the damage with your order number."),
        ("Wie lange kann ich Schuhe zurückgeben?", "Sie können Artikel innerhalb von 30 Tagen zurückgeben."),
        ("Was kostet der Versand?", "Der Versand kostet 4,90 Euro."),
    ],
)
async def test_the_sentence_that_answers_is_quoted_and_cited(question: str, quoted: str):
    text, sources, stream = await answered(question)
    assert f"{quoted}" in text
    assert text.count("[1]") == 1
    assert any(quoted in source["excerpt"] for source in sources)
    assert stream.stop == "end"
    for source in sources:
        document = next(each for each in SHOP if each.document_id == source["documentId"])
        assert document.text[source["start"] - document.start : source["end"] - document.start] == source["excerpt"]


@pytest.mark.parametrize(
    "question",
    [
        "Who is the CEO?",
        "Do you sell bicycles?",
        "Do you have a student discount?",
        "Write me a poem about the sea",
        "How much is the tent?",
        "???",
        "",
    ],
)
async def test_a_question_without_an_answer_is_refused_without_a_word(question: str):
    text, sources, stream = await answered(question)
    assert (text, sources, stream.stop) == ("", [], "refusal")


async def test_an_faq_s_question_is_answered_by_the_sentence_after_it():
    faq = [
        passage("Can I use a dryer?\nNo, it damages the membrane.\nCan I iron it?\nYes, at low heat.", title="Care FAQ")
    ]
    text, sources, _ = await answered("Is using a dryer OK?", faq)
    assert "“No, it damages the membrane.” [1]" in text
    assert len(sources) == 1


async def test_it_says_that_it_is_a_demonstration_in_the_visitor_s_language_and_costs_nothing():
    english, _, stream = await answered("How long do I have to return boots?")
    german, _, _ = await answered("Wie lange kann ich Schuhe zurückgeben?")
    assert english.startswith("Demo answer (no language model is connected)")
    assert german.startswith("Demo-Antwort")
    assert stream.usage.exact
    assert stream.usage.prompt_tokens > 0
    assert llms.cost(stream.usage, stream.model) == 0


async def test_numbers_in_brackets_in_a_quote_are_not_taken_for_marks():
    text, sources, _ = await answered(
        "When was the tower built?", [passage("The tower was built in 1889.[3] It is tall.")]
    )
    assert "built in 1889." in text
    assert len(sources) == 1
