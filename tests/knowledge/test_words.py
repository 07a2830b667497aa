"""Words as they are compared, and the concepts of shops and help desks that they stand for."""

import pytest

from knowledge.concepts import concepts_in, concepts_of_word, only_concepts
from knowledge.words import stem, stems


@pytest.mark.parametrize(
    "forms",
    [
        ["return", "returns", "returned", "returning"],
        ["book", "books", "booking", "bookings", "booked"],
        ["ship", "ships", "shipping", "shipped"],
        ["cancel", "cancelled", "cancels"],
        ["policy", "policies"],
        ["price", "prices", "pricing"],
        ["customer", "customers"],
        ["termin", "termine", "terminen"],
        ["envío", "envíos", "envio"],
    ],
)
def test_a_word_s_forms_have_one_stem(forms: list[str]) -> None:
    assert len({stem(form) for form in forms}) == 1


def test_words_with_hyphens_are_found_without_them_and_capitals_tell_names() -> None:
    assert {stem("checkout"), "wifi", "wm8120"} <= set(stems("Late check-out, Wi-Fi, WM-8120"))
    assert "us" in stems("Do you ship to the US?")
    assert "us" not in stems("Do you tell us?")
    assert "us" not in stems("DO YOU TELL US?")


@pytest.mark.parametrize(
    ("word", "concepts"),
    [
        ("warranty", ("@warranty",)),
        ("versandkosten", ("@ship", "@price")),
        ("mengenrabatt", ("@discount",)),
        ("öffnungszeiten", ("@open",)),
        ("cancelation", ("@cancel",)),
        ("devolucion", ("@return",)),
        ("bicycle", ()),
    ],
)
def test_a_word_stands_for_concepts_by_itself_or_by_its_parts(word: str, concepts: tuple[str, ...]) -> None:
    assert concepts_of_word(word) == concepts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Monday to Friday 9 am to 6 pm", "@open"),
        ("Mo–Fr 9:00–17:00", "@open"),
        ("Di, Do 8 bis 13 Uhr", "@open"),
        ("De lunes a viernes de 10:00 a 20:00", "@open"),
        ("Visit us at 14 Canal Street.", "@store"),
        ("Marktplatz 7, 22765 Hamburg", "@store"),
        ("Calle Mayor 8, Valencia", "@store"),
    ],
)
def test_hours_and_addresses_say_what_they_are(text: str, says: str) -> None:
    assert says in concepts_in(text)


@pytest.mark.parametrize(
    "text",
    ["We send it Monday to Friday, 3 to 5 days later.", "It is so long that 5 to 7 people fit in.", "In 2024 Berlin"],
)
def test_figures_are_not_taken_for_hours_or_addresses(text: str) -> None:
    assert not concepts_in(text) & {"@open", "@store"}


def test_a_question_of_nothing_but_concepts_is_told_from_others() -> None:
    shop = ["Opening hours?", "What are your opening hours?", "return policy", "Versandkosten?", "¿Horario?"]
    assert all(map(only_concepts, shop))
    others = ["", "???", "Do you sell bicycles?", "student discount", "Who wrote Faust?", "time"]
    assert not any(map(only_concepts, others))
