"""`manage.py tune_retrieval DIRECTORY`: measure retrieval on labelled questions; with --save, keep what is best."""

import json
import tempfile
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser

from knowledge.embeddings import get_embedder
from knowledge.embeddings.models import RANKINGS, Ranking, find_model, wanted_model
from knowledge.tuning import measures
from knowledge.tuning.labelled import Laboratory, Trial, read_sets

VECTORS, WORDS = Ranking(1, 0, 0), Ranking(0, 1, 0)  # either leg alone


class Command(BaseCommand):
    help = "Choose the weights and the refusal threshold of an embedding model from labelled questions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path, help="*.json in SQuAD's format, *-answerable.jsonl with passages")
        parser.add_argument("--model", help="the embedding model (default: EMBEDDING_MODEL)")
        parser.add_argument("--save", action="store_true", help=f"write the figures to {RANKINGS.name}")

    def handle(self, *args: Any, directory: Path, model: str | None, save: bool, **options: Any) -> None:
        chosen = find_model(model) if model else wanted_model()
        sets = read_sets(directory)
        if not sets:
            raise CommandError(f"{directory} holds no labelled questions.")
        trials: list[Trial] = []
        with tempfile.TemporaryDirectory() as place:
            laboratory = Laboratory(chosen, get_embedder(chosen.key), Path(place))
            for labelled in sets:
                trials += laboratory.run(labelled, self.stderr.write)
        ranking = self._measure(trials, chosen.ranking)
        if save:
            rankings = json.loads(RANKINGS.read_text())
            rankings[chosen.name] = asdict(ranking)
            RANKINGS.write_text(json.dumps(rankings, indent=2) + "\n")

    def _measure(self, trials: list[Trial], before: Ranking) -> Ranking:
        by_base = {base: list(group) for base, group in groupby(sorted(trials, key=lambda t: t.base), lambda t: t.base)}
        whole = {base: group for base, group in by_base.items() if group[0].whole}
        small = {base: group for base, group in by_base.items() if len({bool(t.right) for t in group}) == 2}
        weights = measures.best_weights(list(whole.values()), list(small.values()))
        everything = [trial for group in small.values() for trial in group]
        after = measures.calibrated(*measures.best_relevances(everything, weights), weights)
        after = replace(after, convincing=measures.convincing(everything))
        self._print_finding(whole, {"vectors": VECTORS, "words": WORDS, "before": before, "after": after})
        for name, ranking in (("before", before), ("after", after)):
            self._print_refusing(name, small, ranking)
        self.stdout.write(f"\nbefore {before}\nafter  {after}")
        return after

    def _print_finding(self, whole: dict[str, list[Trial]], orders: dict[str, Ranking]) -> None:
        self.stdout.write(f"{'':36}{'':9}{'hit@1':>7}{'hit@5':>7}{'MRR':>7}{'nDCG@10':>9}")
        for base, trials in whole.items():
            for name, weights in orders.items():
                f = measures.finding(trials, weights)
                self.stdout.write(f"{base:36}{name:9}{f.hit1:7.1%}{f.hit5:7.1%}{f.mrr:7.3f}{f.ndcg10:9.3f}")

    def _print_refusing(self, name: str, small: dict[str, list[Trial]], ranking: Ranking) -> None:
        headings = ("AUROC", "off-topic refused at 5 %", "refused at the threshold, on / off")
        self.stdout.write(f"\n{name:36}{headings[0]:>7}{headings[1]:>27}{headings[2]:>37}")
        for base, trials in {**small, "all": [t for group in small.values() for t in group]}.items():
            on, off = measures.best_relevances(trials, ranking)
            at_five = (off < np.quantile(on, measures.REFUSED_ON_TOPIC)).mean()
            refused = measures.refused(trials, ranking)
            self.stdout.write(
                f"{base:36}{measures.auroc(on, off):7.3f}{at_five:27.1%}{refused[0]:27.1%} /{refused[1]:7.1%}"
            )
