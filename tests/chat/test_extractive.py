"""The offline answerer on an ordinary shop's documents: the right sentence, cited, or an honest refusal."""

import re

import pytest

from chat import llms, prompts
from chat.understanding.question_kinds import kinds_of
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
        ("How Long Do I Have To Return Boots?", "You can return any item within 30 days of delivery."),
        ("Are you open on Sunday?", "We are open Monday to Friday from 9:00 to 17:00."),
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


POLICY = [
    passage(
        "Some items have their own period:\n"
        "• Boots and shoes: 60 days. Boots may be returned within 60 days of delivery if they are unworn.\n"
        "• Tents and sleeping bags: 30 days, if they were not used outdoors.\n"
        "• Gift cards: cannot be returned.\n\n"
        "If an item arrives damaged, we refund the full price, including delivery, and the return is free.\n\n"
        "Delivery times and charges\n\n"
        "Orders placed before 14:00 on a working day leave our warehouse the same day.\n\n"
        "Destination; Time; Charge\n"
        "Destination: United Kingdom, standard; Time: 2 to 3 working days; Charge: 3.95 pounds\n"
        "Destination: United Kingdom, express; Time: next working day; Charge: 7.95 pounds\n"
        "Destination: European Union; Time: 4 to 7 working days; Charge: 9.95 pounds\n\n"
        "Shops\n\n"
        "• Leeds, 12 Kirkgate: Monday to Saturday 9:30 to 18:00.\n"
        "For your own safety we cannot sell ropes again once the seal is open.",
        number=0,
        title="Returns and shipping",
        score=0.9,
    ),
    passage(
        "name: Summit 2 tent; category: Tents; price (GBP): 429.00; waterproof: yes\n"
        "name: Ridge boot; category: Boots; price (GBP): 189.00; waterproof: yes",
        number=1,
        title="products.csv",
        score=0.7,
    ),
    passage(
        "Is there a student discount?\n\nYes. Students get 10 % off.\n\n"
        "What does a patch cost?\n\n£15.\n\n"
        "Wax leather boots when water no longer forms drops on them, and they stay waterproof.",
        number=2,
        title="Questions",
        score=0.7,
    ),
]


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("How long do I have to return boots?", "Boots may be returned within 60 days of delivery"),
        ("How long do I have to return boots? and tents?", "Tents and sleeping bags: 30 days"),
        ("How long do I have to return boots? what about gift cards?", "Gift cards: cannot be returned."),
        ("How long does express delivery take?", "Destination: United Kingdom, express; Time: next working day"),
        ("How long does express delivery take? and to the EU?", "Destination: European Union; Time: 4 to 7"),
        ("How much does shipping cost?", "Destination: United Kingdom, standard; Time: 2 to 3 working days"),
        ("How much is the Summit 2 tent?", "name: Summit 2 tent; category: Tents; price (GBP): 429.00"),
        ("When are your shops open?", "Leeds, 12 Kirkgate: Monday to Saturday 9:30 to 18:00."),
        ("How do I waterproof boots?", "Wax leather boots when water no longer forms drops on them"),
        ("Do you offer student discounts?", "Students get 10 % off."),
        ("How much is a patch?", "£15."),
        ("Do you sell skis?", None),
        ("Do you have vegan boots?", None),
        ("How much is the Everest tent?", None),
        ("Can I pay with Bitcoin?", None),
        ("How long does shipping to the US take?", None),
        ("Do you ship to Norway? And how long does it take?", None),
        ("Can I return a Gift card?", "Gift cards: cannot be returned."),
    ],
)
async def test_what_is_asked_now_is_answered_from_tables_lists_and_questions(question: str, first: str | None):
    _, sources, stream = await answered(question, POLICY)
    assert [source["excerpt"][: len(first or "")].lstrip("• ") for source in sources][:1] == ([first] if first else [])
    assert stream.stop == ("end" if first else "refusal")


HELP = [
    passage(
        "Can I change or cancel my order?\nYou can change an order within one hour, under My Account.\n"
        "Do I need an account to order?\nNo. You can check out as a guest.\n\n"
        "Our shop\n\nVisit us at 14 Canal Street, Leeds LS1 4DY.\nClosed on Sundays.\n\n"
        "Free trial\n\nBusiness can be tried for 14 days.\n\n"
        "Plans\n\nStarter is free for one user.\n\n"
        "Payment\n\nMoney is returned to the means of payment that was used.\n"
        "We take Visa, PayPal and bank transfer.\n\n"
        "4 Milk foam\n\nPurge the wand. Stop at 60 to 65 degrees Celsius.\n\n"
        "5 Descaling\n\nDescale the machine every three months.\n\n"
        "6 Error codes\n\nE07: The tank is empty.\nE09: Electronic fault. Orders before 2 pm are sent today.\n\n"
        "The lounge opens at half past six.\n\n"
        "7 Service\n\nWrite to help@acme.example with your order number. We are on the telephone at 0113 496 0123.",
        number=0,
        title="Help",
        score=0.9,
    ),
    passage(
        "Unser Laden liegt in der Osterstraße 12 in Hamburg.\n\n"
        "Der Versand kostet 4,90 Euro, die Lieferzeit beträgt zwei bis drei Werktage.\n\n"
        "Ab zehn Packungen gibt es 8 % Mengenrabatt.",
        number=1,
        title="Fragen",
        score=0.7,
    ),
]


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("Do I need an account?", ["You can check out as a guest."]),
        ("Where is your shop?", ["Visit us at 14 Canal Street, Leeds LS1 4DY."]),
        ("Wo ist euer Laden?", ["Unser Laden liegt in der Osterstraße 12 in Hamburg."]),
        ("free trial?", ["Business can be tried for 14 days."]),
        ("payment methods", ["We take Visa, PayPal and bank transfer."]),
        ("What temperature for milk foam?", ["Stop at 60 to 65 degrees Celsius."]),
        ("how often to decsale the machine", ["Descale the machine every three months."]),
        ("Versandkosten?", ["Der Versand kostet 4,90 Euro, die Lieferzeit beträgt zwei bis drei Werktage."]),
        ("Gibt es einen Rabatt?", ["Ab zehn Packungen gibt es 8 % Mengenrabatt."]),
        (
            "Where is your shop and how often do I descale the machine?",
            ["Visit us at 14 Canal Street, Leeds LS1 4DY.", "Descale the machine every three months."],
        ),
        (
            "Hello! How often do I descale the machine? Also, where is your shop?",
            ["Descale the machine every three months.", "Visit us at 14 Canal Street, Leeds LS1 4DY."],
        ),
        ("When does the lounge open?", ["The lounge opens at half past six."]),
        ("phone number?", ["We are on the telephone at 0113 496 0123."]),
        ("When are you open?", ["Closed on Sundays.", "The lounge opens at half past six."]),
        ("error E07 of the machine", ["E07: The tank is empty."]),
        ("error E08 of the machine", []),
        ("What is 2+2?", []),
    ],
)
async def test_questions_as_visitors_type_them(question: str, quoted: list[str]):
    text, sources, stream = await answered(question, HELP)
    assert [quote.removeprefix("No. ") for quote in re.findall(r"“(.*?)”", text)] == quoted
    assert bool(sources) == bool(quoted)
    assert stream.stop == ("end" if quoted else "refusal")


@pytest.mark.parametrize(("question", "intro"), [("Versandkosten?", "Demo-Antwort"), ("E07", "Demo answer")])
async def test_the_passage_s_language_is_spoken_where_the_question_s_can_t_be_told(question: str, intro: str):
    assert (await answered(question, HELP))[0].startswith(intro)


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


@pytest.mark.parametrize("question", ["how much does parkng cost?", "whitenning price"])
async def test_a_word_is_told_by_its_letters_before_its_endings_are_off(question: str):
    text = "Parking\nParking costs 18 euros a night.\n\nCare\nBreakfast costs 9 euros. Whitening costs 350 euros."
    answer, *_ = await answered(question, [passage(text)])
    assert re.findall(r"“(.*?)”", answer) == [
        "Parking costs 18 euros a night." if "park" in question else "Whitening costs 350 euros."
    ]


PLANS = passage(
    "Plans\n\n| Plan | Price per month | Events | Retention |\n| --- | --- | --- | --- |\n"
    "| Team | $79 | 500,000 | 14 days |\n| Business | $349 | 5,000,000 | 30 days |\n\n"
    "Non-profits pay half.\n\n"
    'Example\n\n```\ncurl -H "Authorization: Bearer $TOKEN" \\\n  "https://api.example/events?limit=100"\n```\n'
)
RATES = passage(
    "Members\n\nPlan; Monthly price; Visits to the hygienist a year; Discount on other treatment\n"
    "Plan: Care; Monthly price: £29.90; Visits to the hygienist a year: 4; Discount on other treatment: 20 %"
)


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("price business plan", "| Business | $349 | 5,000,000 | 30 days |"),
        ("how many events in team plan", "| Team | $79 | 500,000 | 14 days |"),
        ("retention of the business plan", "| Business | $349 | 5,000,000 | 30 days |"),
        ("which discount on treatment", RATES.text.splitlines()[-1]),
        ("api limit", '"https://api.example/events?limit=100"'),
    ],
)
async def test_a_table_s_head_is_no_answer_but_says_what_its_rows_are_about(question: str, quoted: str):
    answer, *_ = await answered(question, [PLANS, RATES])
    assert re.findall(r"“(.*?)” \[1\]", answer) == [quoted]


CLINIC = passage(
    "Sedation\n\nYou may take somebody with you. It costs £240 an hour.\n\nRoot canals\n\n"
    "A root canal takes 90 minutes. A root canal costs £690. What is left over "
    "costs nothing.\n\nBreakfast\n\nBreakfast is served from 7:00 to 10:30. Breakfast costs 19 euros."
)


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("What does a root canal cost? how long does it take?", ["A root canal takes 90 minutes."]),
        ("I need a root canal, how long is that? and what does it cost?", ["A root canal costs £690."]),
        (
            "How much is breakfast and when is it served?",
            ["Breakfast costs 19 euros.", "Breakfast is served from 7:00 to 10:30."],
        ),
    ],
)
async def test_what_kind_of_thing_is_asked_now_is_told_of_what_was_said_before(question: str, quoted: list[str]):
    answer, *_ = await answered(question, [CLINIC])
    assert re.findall(r"“(.*?)”", answer) == quoted


BOTTEGA = passage(
    "Spedizione\n\nLa spedizione in Italia costa 6,90 €. I pacchi arrivano in tre giorni lavorativi.\n\n"
    "Negozio\n\nSiamo in via Garibaldi 22, 50123 Firenze. Siamo aperti dal martedì al sabato dalle 10 alle 19. Il "
    "lunedì siamo chiusi.\n\nCorsi\n\nLe iscrizioni chiudono la sera del corso. Il corso dura undici ore e costa 95 €."
)


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("prezzo del corso", "Il corso dura undici ore e costa 95 €."),
        ("quanto dura il corso", "Il corso dura undici ore e costa 95 €."),
        ("costo della consegna", "La spedizione in Italia costa 6,90 €."),
        ("a che ora aprite il sabato", "Siamo aperti dal martedì al sabato dalle 10 alle 19."),
        ("siete aperti il lunedì?", "Il lunedì siamo chiusi."),
        ("indirizzo", "Siamo in via Garibaldi 22, 50123 Firenze."),
    ],
)
async def test_italian_questions_are_told_by_their_kind_as_other_languages_are(question: str, quoted: str):
    answer, *_ = await answered(question, [BOTTEGA])
    assert re.findall(r"“(.*?)”", answer) == [quoted]


@pytest.mark.parametrize("answer", ["15 seconds", "eight hours", "90 min", "zwölf Tage", "onze jours", "due settimane"])
def test_a_duration_is_told_in_any_unit_and_number(answer: str):
    assert kinds_of("How long does it take?")[0].answer.search(f"It takes {answer}.")
