"""The people of the demo: users who see answers and say what they think, reviewers who work the queue.

Everything a person does follows from the seed and the row's number, so a run that was killed goes on as if it had not
been, whatever had been stored by then.
"""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np

from everloop.errors import EverloopError, InvalidInput, NotFound
from everloop.types import Input, Interaction

_SPLIT_SEED = 7  # which rows are the test rows does not change with the demo's seed
_BANKING = {  # PolyAI's task-specific-datasets, CC BY 4.0
    "train.csv": "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
    "test.csv": "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
}
_BANKING_URL = "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data/"
_INPUTS, _LABELS = ("input", "text", "utterance", "question", "sentence"), ("label", "category", "intent", "target")


class Data(NamedTuple):
    """Rows to learn from and rows to test on, with their true labels."""

    name: str
    inputs: list[Input]
    labels: list[str]
    test_inputs: list[Input]
    test_labels: list[str]


class People(NamedTuple):
    """How the simulated people behave; shares between 0 and 1."""

    seed: int
    classes: tuple[str, ...]
    feedback: float = 0.3  # of interactions that draw feedback at all
    corrections: float = 0.6  # of the feedback that is a correction; the rest are thumbs
    wrong_corrections: float = 0.1  # of the corrections that name a wrong label
    wrong_reviews: float = 0.03  # of the reviews

    def says(self, row: int, truth: str, answer: Interaction) -> dict[str, Any] | None:
        """What the user of row `row` says of the answer: the fields of a feedback, or None."""
        rng = np.random.default_rng([self.seed, 1, row])
        if rng.random() >= self.feedback:
            return None
        if rng.random() < self.corrections:
            return {"kind": "correction", "value": self._label(rng, truth, self.wrong_corrections)}
        return {"kind": "thumb", "value": "up" if answer.output == truth else "down"}

    def reviews(self, row: int, truth: str, again: bool = False) -> str:
        """The label a reviewer gives to row `row`; `again`: another one, who is asked to look at it a second time."""
        return self._label(np.random.default_rng([self.seed, 3 if again else 2, row]), truth, self.wrong_reviews)

    def _label(self, rng: np.random.Generator, truth: str, wrong: float) -> str:
        if rng.random() >= wrong:
            return truth
        others = [label for label in self.classes if label != truth]
        return others[int(rng.integers(len(others)))]


def load(what: str, folder: Path | None = None) -> Data:
    """ "digits" (in scikit-learn's wheel), "banking77" (from `folder`, or fetched and checked), or a path to a CSV."""
    if what == "digits":
        return _digits()
    if what == "banking77":
        return _banking(folder)
    return _own(Path(what))


def _digits() -> Data:
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(images))
    rows: list[Input] = [[float(x) / 16 for x in images[i]] for i in order]
    labels = [str(digits[i]) for i in order]
    cut = 2 * len(rows) // 3
    return Data("digits", rows[:cut], labels[:cut], rows[cut:], labels[cut:])


def _banking(folder: Path | None) -> Data:
    parts = {}
    for name, expected in _BANKING.items():
        data = _file(folder, name)
        if hashlib.sha256(data).hexdigest() != expected:
            raise EverloopError(f"banking77's {name} is not the file this demo was made for (its SHA-256 differs)")
        rows = list(csv.DictReader(data.decode("utf-8").splitlines()))
        parts[name] = ([row["text"] for row in rows], [row["category"] for row in rows])
    (inputs, labels), (test_inputs, test_labels) = parts["train.csv"], parts["test.csv"]
    return Data("banking77", list(inputs), labels, list(test_inputs), test_labels)


def _file(folder: Path | None, name: str) -> bytes:
    if folder is not None:
        if not (folder / name).is_file():
            raise NotFound(f"no {name} in {folder}; it should hold banking77's train.csv and test.csv")
        return (folder / name).read_bytes()
    try:
        answer = httpx.get(_BANKING_URL + name, timeout=30, follow_redirects=True)
        answer.raise_for_status()
        return answer.content
    except httpx.HTTPError as error:
        raise EverloopError(
            f"can't download banking77 ({type(error).__name__}); give a folder that holds it with --folder"
        ) from None


def _own(path: Path) -> Data:
    """A CSV with an input and a label column; a quarter of the rows, by hash of the input, become the test rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = {name.strip().lower(): name for name in reader.fieldnames or () if name}
            given = next((names[name] for name in _INPUTS if name in names), None)
            wanted = next((names[name] for name in _LABELS if name in names), None)
            if given is None or wanted is None:
                raise InvalidInput(
                    f"{path}: needs a column for the input ({', '.join(_INPUTS)}) and one for the label "
                    f"({', '.join(_LABELS)}); it has {', '.join(names) or 'none'}"
                )
            rows = [(row[given] or "", (row[wanted] or "").strip()) for row in reader]
    except FileNotFoundError:
        raise NotFound(f"no file {path}; --data takes digits, banking77, or the path of a CSV") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 (byte {error.start:,}); save it as UTF-8 and try again") from None
    except csv.Error as error:
        raise InvalidInput(f"{path}, line {reader.line_num}: {error}") from None
    rows = [(text, label) for text, label in rows if text.strip() and label]
    if len({label for _, label in rows}) < 2 or len(rows) < 60:
        raise InvalidInput(f"{path}: the demo needs at least 60 labelled rows of 2 classes; found {len(rows)}")
    test = [int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), 16) % 4 == 0 for text, _ in rows]
    kept = [row for row, is_test in zip(rows, test, strict=True) if not is_test]
    held = [row for row, is_test in zip(rows, test, strict=True) if is_test]
    known = {label for _, label in kept}
    held = [row for row in held if row[1] in known]
    if not held:
        raise InvalidInput(f"{path}: too few distinct inputs to hold any out for the test")
    return Data(path.stem, [t for t, _ in kept], [label for _, label in kept],
                [t for t, _ in held], [label for _, label in held])  # fmt: skip


def bootstrap(labels: Sequence[str], seed: int, each: int = 5) -> tuple[list[int], list[int]]:
    """(rows of `each` examples a class, the rest in the order in which they will come as traffic)."""
    order = np.random.default_rng([seed, 0]).permutation(len(labels)).tolist()
    taken: dict[str, int] = {}
    first: list[int] = []
    for row in order:
        if taken.get(labels[row], 0) < each:
            taken[labels[row]] = taken.get(labels[row], 0) + 1
            first.append(row)
    chosen = set(first)
    return first, [row for row in order if row not in chosen]
