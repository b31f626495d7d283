"""Short distinct texts by the million: halves of real questions put together; a fifth are edits of an earlier text."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

DATA = Path(__file__).parents[2] / "shared/data"
EDITED = 0.2
OTHER_WORDS = "please account money really today phone again maybe number service".split()
GREETINGS = ("Hello, ", "hi there ", "Good morning. ", "hey, ", "Please: ")


class Planted(NamedTuple):
    texts: list[str]
    origin: list[int]  # the text it is an edit of, or -1
    kind: list[str | None]


def banking(part: str) -> tuple[list[str], list[str]]:
    with (DATA / f"banking77/{part}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [row[0] for row in rows], [row[1] for row in rows]


def clinc(part: str) -> tuple[list[str], list[str]]:
    rows = json.loads((DATA / "clinc150/data_full.json").read_text(encoding="utf-8"))[part]
    return [row[0] for row in rows], [row[1] for row in rows]


def _typos(text: str, rng: np.random.Generator) -> str:
    for _ in range(2 if len(text) > 40 else 1):
        at, what, letter = int(rng.integers(len(text))), int(rng.integers(3)), chr(97 + int(rng.integers(26)))
        text = text[:at] + (letter if what < 2 else "") + text[at + (what > 0) :]
    return text


def _swapped(text: str, rng: np.random.Generator) -> str:
    words = text.split() or [""]
    words[int(rng.integers(len(words)))] = OTHER_WORDS[int(rng.integers(len(OTHER_WORDS)))]
    return " ".join(words)


EDITS: dict[str, Callable[[str, np.random.Generator], str]] = {
    "typos": _typos,
    "a word swapped": _swapped,
    "punctuation": lambda text, rng: text.replace(" ", ", ", 1).rstrip(".?") + " !",
    "case": lambda text, rng: text.upper() if rng.random() < 0.5 else text.title(),
    "? appended": lambda text, rng: text + "?",
    "truncated by 15 %": lambda text, rng: text[: max(4, int(len(text) * 0.85))],
    "greeting in front": lambda text, rng: GREETINGS[int(rng.integers(len(GREETINGS)))] + text,
}


def planted(n: int, seed: int = 0) -> Planted:
    rng = np.random.default_rng(seed)
    rows = sorted({*banking("train")[0], *banking("test")[0], *clinc("train")[0], *clinc("test")[0], *clinc("val")[0]})
    words = [row.split() for row in rows]
    made, seen, names = Planted([], [], []), set(), list(EDITS)
    while len(made.texts) < n:
        left = n - len(made.texts)
        draws = (rng.integers(len(rows), size=(left, 2)), rng.random((left, 2)), rng.integers(len(names), size=left))
        for (a, b), (edit, which), kind in zip(*(draw.tolist() for draw in draws), strict=True):
            if edit < EDITED and made.texts:
                origin, name = int(which * len(made.texts)), names[kind]
                text = EDITS[name](made.texts[origin], rng)
            else:
                origin, name = -1, None
                text = " ".join(words[a][: (len(words[a]) + 1) // 2] + words[b][len(words[b]) // 2 :])
            if text not in seen:
                seen.add(text)
                made.texts.append(text)
                made.origin.append(origin)
                made.kind.append(name)
    return made
