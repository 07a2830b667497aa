"""The tuning command: labelled questions in, figures and a model's ranking out."""

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from knowledge.embeddings.models import Ranking
from knowledge.management.commands import tune_retrieval
from knowledge.tuning import measures
from knowledge.tuning.labelled import Trial
from knowledge.vectors import Candidate

FACTS = {
    "Boots": ("Boots can be returned within 60 days.", "How long can boots be returned?", "60 days"),
    "Tea": ("Green tea is brewed at 70 degrees for two minutes.", "How hot should green tea be brewed?", "70 degrees"),
    "Moon": ("The Moon orbits the Earth in 27.3 days.", "How long does the Moon take to orbit the Earth?", "27.3 days"),
    "Bees": ("A queen bee lays up to 2,000 eggs a day.", "How many eggs does a queen bee lay?", "2,000"),
    "Chess": ("Fischer beat Spassky in Reykjavik in 1972.", "Where did Fischer beat Spassky?", "Reykjavik"),
}


def trial(on: bool, *scores: tuple[float, float, float]) -> Trial:
    candidates = tuple(Candidate(uuid.uuid4(), *each) for each in scores)
    return Trial("base", "?", frozenset([candidates[0].id] if on else []), candidates, whole=False)


def test_measures_and_saves_a_ranking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    articles = []
    for title, (text, question, answer) in FACTS.items():
        asked = {"question": question, "answers": [{"text": answer, "answer_start": text.index(answer)}]}
        articles.append({"title": title, "paragraphs": [{"context": text, "qas": [asked]}]})
    (tmp_path / "facts.json").write_text(json.dumps({"data": articles}))
    saved = tmp_path / "rankings"
    saved.write_text('{"another": {}}')
    monkeypatch.setattr(tune_retrieval, "RANKINGS", saved)
    call_command("tune_retrieval", tmp_path, "--model", "all-minilm-l6-v2", "--save")
    printed = capsys.readouterr().out
    assert "facts paragraphs, whole             after     100.0% 100.0%  1.000    1.000" in printed
    ranking = Ranking(**json.loads(saved.read_text())["all-minilm-l6-v2"])
    assert ranking.dense + ranking.sparse + ranking.coverage == pytest.approx(1)
    assert "another" in json.loads(saved.read_text())


def test_a_directory_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        call_command("tune_retrieval", tmp_path)


def test_measures_of_finding() -> None:
    weights = Ranking(1, 0, 0)
    first, second = trial(True, (0.9, 0, 0), (0.1, 0, 0)), trial(True, (0.2, 0, 0), (0.8, 0, 0))
    found = measures.finding([first, second], weights)
    assert found == measures.Finding(hit1=0.5, hit5=1.0, mrr=0.75, ndcg10=pytest.approx((1 + 1 / np.log2(3)) / 2))


def test_the_threshold_parts_what_can_be_parted() -> None:
    trials = [trial(True, (0.5 + n / 100, 0, 0)) for n in range(50)] + [
        trial(False, (n / 250, 0, 0)) for n in range(50)
    ]
    weights = Ranking(1, 0, 0)
    on, off = measures.best_relevances(trials, weights)
    assert measures.auroc(on, off) == 1
    assert measures.auroc(on, on) == 0.5
    refused_on, refused_off = measures.refused(trials, measures.calibrated(on, off, weights))
    assert refused_on <= measures.REFUSED_ON_TOPIC
    assert refused_off == 1
