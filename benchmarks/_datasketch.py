"""datasketch's own way, end to end: MinHash, MinHashLSH, the same exact check, the same joining.

    python _datasketch.py TEXTS.json GROUPS.json [BANDS ROWS]

Run with the interpreter that datasketch is installed for; it knows nothing of Everloop. Prints seconds as JSON.
"""

import json
import sys
import time
import unicodedata
from pathlib import Path

from datasketch import MinHash, MinHashLSH

PERMUTATIONS, THRESHOLD, GRAM = 128, 0.7, 4


def grams(text: str) -> set[str]:
    clean = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" .")
    return {clean[i : i + GRAM] for i in range(max(1, len(clean) - GRAM + 1))}


def groups(texts: list[str], params: tuple[int, int] | None) -> list[int]:
    sets = [grams(text) for text in texts]
    signed = MinHash.bulk(
        [[gram.encode("utf-8", "surrogatepass") for gram in one] for one in sets], num_perm=PERMUTATIONS
    )
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, params=params)
    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, one in enumerate(signed):
        for j in lsh.query(one):
            both = len(sets[i] & sets[j])
            if both >= THRESHOLD * (len(sets[i]) + len(sets[j]) - both):
                low, high = sorted((root(i), root(j)))
                parent[high] = low
        lsh.insert(i, one)
    return [root(i) for i in range(len(texts))]


def main() -> None:
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    params = (int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 3 else None
    begun = time.perf_counter()
    found = groups(texts, params)
    seconds = time.perf_counter() - begun
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
