"""What redaction finds with patterns alone, what it takes by mistake, and how fast it is.

    python benchmarks/redact.py [--model en_core_web_lg]

On microsoft/presidio-research's synthetic sentences (../shared/data/presidio_research; skipped where it is missing).
With `--model`, and the `pii` extra and that model of spaCy installed, persons and places are looked for too.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path

from _results import machine, markdown_table, write_section

from everloop.redact import BUILT_IN, Finder, presidio, redact
from everloop.stats.intervals import wilson

DATA = Path(__file__).parents[2] / "shared/data/presidio_research/synth_dataset_v2.json"
OURS = {
    "EMAIL_ADDRESS": "email", "CREDIT_CARD": "card", "IBAN_CODE": "iban", "PHONE_NUMBER": "phone", "IP_ADDRESS": "ip",
    "US_SSN": "ssn", "PERSON": "person", "GPE": "place", "STREET_ADDRESS": "place",
}  # fmt: skip
REPEATS = 7


def share(hits: int, n: int) -> str:
    if not n:
        return "–"
    found = wilson(hits, n)
    return f"{found.estimate:.3f} ({found.low:.3f} to {found.high:.3f}), n={n}"


def quality(rows: list[dict], finders: tuple[Finder, ...]) -> tuple[list[list[str]], list[str]]:
    """A line per type, and the wrong finds as they stood in the text (to look at, never written down)."""
    names = {name for finder in finders for name in finder.names}
    gold, covered, typed, given, right = Counter(), Counter(), Counter(), Counter(), Counter()
    wrong = []
    for row in rows:
        text = row["full_text"]
        spans = redact(text, finders).spans
        marked = [(s["start_position"], s["end_position"], s["entity_type"]) for s in row["spans"]]
        for start, end, kind in marked:
            gold[kind] += 1
            inside = [s for s in spans if s.start < end and s.end > start]
            # Every character of it is gone; and the placeholder says so by its right name.
            whole = sum(min(s.end, end) - max(s.start, start) for s in inside) == end - start
            covered[kind] += whole
            typed[kind] += whole and all(s.name == OURS.get(kind) for s in inside)
        for start, end, name in spans:
            given[name] += 1
            if any(a < end and b > start and OURS.get(kind) == name for a, b, kind in marked):
                right[name] += 1
            else:
                wrong.append(f"{name}: {text[max(0, start - 30) : start]}«{text[start:end]}»{text[end : end + 10]}")
    lines = []
    for kind in sorted(gold, key=lambda kind: (OURS.get(kind, "~") not in names, kind)):
        name = OURS.get(kind, "none")
        name = name if name in names else f"{name} (not looked for)" if name != "none" else "none"
        precision = share(right[name], given[name]) if name in names else "–"
        lines.append([kind, name, share(covered[kind], gold[kind]), share(typed[kind], gold[kind]), precision])
    others = sorted(set(given) - {OURS[kind] for kind in gold if kind in OURS})
    lines += [["(nothing marked)", name, "–", "–", share(0, given[name])] for name in others]
    return lines, wrong


def throughput(texts: list[str], finders: tuple[Finder, ...] = BUILT_IN) -> tuple[float, float, float]:
    """Texts a second: median, lowest and highest of the repeats."""
    rates = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for text in texts:
            redact(text, finders)
        rates.append(len(texts) / (time.perf_counter() - begun))
    return statistics.median(rates), min(rates), max(rates)


def speed_line(name: str, texts: list[str]) -> list[str]:
    size = sum(len(text.encode()) for text in texts) / len(texts)
    rate, low, high = throughput(texts)
    return [name, f"{size:,.0f}", f"{rate:,.0f} ({low:,.0f} to {high:,.0f})", f"{rate * size / 1e6:.2f}"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", help="a spaCy model, to look for persons and places too")
    options.add_argument("--wrong", action="store_true", help="print what was taken by mistake")
    chosen = options.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is missing")
        return
    rows = json.loads(DATA.read_text(encoding="utf-8"))
    texts = [row["full_text"] for row in rows]
    columns = ["marked as", "ours", "gone entirely", "and by its type's name", "precision of ours"]
    lines, wrong = quality(rows, BUILT_IN)
    if chosen.wrong:
        print("\n".join(wrong))
    plain = [text for text, row in zip(texts, rows, strict=True) if not redact(text).spans]
    speeds = [
        speed_line("the sentences", texts),
        speed_line("those where nothing is found", plain),
        speed_line("1 kB", ["\n".join(texts)[i : i + 1_000] for i in range(0, 100_000, 1_000)]),
        speed_line("100 kB", ["\n".join(texts)[:100_000]]),
    ]
    with_model = ["With the `pii` extra: not measured; no language model of spaCy was at hand."]
    if chosen.model:
        both, _ = quality(rows, (*BUILT_IN, presidio(model=chosen.model)))
        with_model = [f"With Presidio and {chosen.model}:", "", markdown_table(columns, both)]
    write_section(
        "redact",
        "\n".join(
            [
                "## Redaction", "",
                f"{machine()}. {len(rows):,} synthetic sentences of microsoft/presidio-research (MIT); 95 % Wilson",
                "intervals. Patterns alone; they don't find names or addresses. The words beside phone numbers in them",
                "were seen while the list of words was written, so phone is no held-out figure. The cards missed",
                "begin with 350 to 3527 or 359, which Faker calls JCB and JCB does not use (3528 to 3589).", "",
                markdown_table(columns, lines), "",
                *with_model, "",
                f"Speed on one core, median of {REPEATS} (lowest to highest):", "",
                markdown_table(["texts", "bytes each", "texts/s", "MB/s"], speeds),
            ]
        ),
    )  # fmt: skip
    print(markdown_table(columns, lines))
    print(markdown_table(["texts", "bytes each", "texts/s", "MB/s"], speeds))


if __name__ == "__main__":
    main()
