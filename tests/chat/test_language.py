"""Languages, small talk, and the product's own words."""

import pytest

from chat.understanding.language import greeting, language_of, no_answer, phrase
from chat.understanding.phrases import TEXTS
from tenants.models import Client


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "How long do I have to return boots?"),
        ("en", "opening hours"),
        ("de", "Wie lange kann ich Schuhe zurückgeben?"),
        ("de", "Was kostet der Versand"),
        ("fr", "Combien coûte la livraison ?"),
        ("es", "¿Cuánto cuesta el envío?"),
        ("es", "cuanto tarda en llegar mi pedido"),
        ("pt", "Qual é o prazo para devolução?"),
        ("it", "Quanto costa la spedizione?"),
        ("nl", "Hoeveel kost de verzending?"),
        ("pl", "Ile kosztuje wysyłka?"),
        ("tr", "Kargo ücreti ne kadar?"),
        ("ru", "Сколько стоит доставка?"),
        ("ar", "كم تكلفة الشحن؟"),
        ("ja", "返品はどうすればいいですか？"),
        ("zh", "运费多少钱？"),
    ],
)
def test_the_language_of_a_question_is_told(language: str, text: str):
    assert language_of(text) == language


def test_what_tells_nothing_is_the_default():
    assert language_of("iPhone 15 Pro?") == "en"
    assert language_of("12345", default="de") == "de"


@pytest.mark.parametrize(
    ("text", "kind", "language"),
    [
        ("Hi", "hello", "en"),
        ("hello there!!", "hello", "en"),
        ("Hey, good morning 👋", "hello", "en"),
        ("How are you?", "hello", "en"),
        ("Hallo zusammen", "hello", "de"),
        ("Guten Tag!", "hello", "de"),
        ("Bonjour", "hello", "fr"),
        ("¡Hola, buenos días!", "hello", "es"),
        ("Olá, tudo bem?", "hello", "pt"),
        ("مرحبا", "hello", "ar"),
        ("こんにちは", "hello", "ja"),
        ("Thanks a lot!", "thanks", "en"),
        ("ok thanks", "thanks", "en"),
        ("Thank you so much for your help", "thanks", "en"),
        ("Vielen Dank", "thanks", "de"),
        ("merci beaucoup", "thanks", "fr"),
        ("muchas gracias", "thanks", "es"),
        ("obrigado", "thanks", "pt"),
        ("شكرا", "thanks", "ar"),
        ("ありがとうございます", "thanks", "ja"),
        ("Thanks, bye!", "goodbye", "en"),
        ("Tschüss", "goodbye", "de"),
    ],
)
def test_small_talk_is_answered_as_such(text: str, kind: str, language: str):
    assert greeting(text) == phrase(kind, language)


@pytest.mark.parametrize(
    "text",
    [
        "Hi, how long do I have to return boots?",
        "Hello Kitty mug",
        "thanks but where is my parcel",
        "Do you sell greeting cards?",
        "return policy",
        "ok but what does it cost",
        "Bonjour, quels sont vos horaires ?",
        "",
        "?!",
        "help",
        "the team",
    ],
)
def test_a_question_is_no_small_talk(text: str):
    assert greeting(text) is None


def test_i_don_t_know_is_said_in_the_visitor_s_language_or_in_the_client_s_own_words():
    client = Client(name="Acme")
    texts = [no_answer(language, client) for language in ("en", "de", "fr", "es", "pt", "ar", "ja")]
    assert len(set(texts)) == 7
    assert no_answer("xx", client) == texts[0]
    client.no_answer_text = "Please call 030 1234."
    assert no_answer("de", client) == "Please call 030 1234."


def test_every_text_exists_in_every_language():
    assert {frozenset(texts) for texts in TEXTS.values()} == {frozenset(TEXTS["no_answer"])}
