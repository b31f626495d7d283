"""What a review says of other people's rows goes when they are erased; the review itself is somebody else's."""

from pathlib import Path
from typing import Any

from everloop.store import Store
from everloop.types import Correction, Doubt, Interaction, Review

PLANTED = "quaggaquagga"


def test_erasure_reaches_what_reviews_say_of_others(store: Store, tmp_path: Path, reopen: Any) -> None:
    put = store.records.put
    put(*(Interaction(id=f"i{n}{PLANTED if n == 2 else ''}", loop="desk", at=0, input="x", subject=f"u{n}")
          for n in range(1, 5)))  # fmt: skip
    put(Correction(id="said", interaction="i1", value=PLANTED, at=0, subject="u9"),
        Correction(id="too", interaction="i1", value=PLANTED, at=0, subject="u8"))  # fmt: skip
    doubt = Doubt(given=PLANTED, said=("said", "too"), score=0.9, confidence=0.1, supporting=(f"i2{PLANTED}", "i3"),
                  opposing=(f"i2{PLANTED}",), others=("i4", f"i2{PLANTED}"))  # fmt: skip
    review = Review(id="r", loop="desk", turn=1, interaction="i1", input="x", why="suspect", doubt=doubt)
    plain = Review(id="p", loop="desk", turn=1, interaction="i3", input='"doubt":{', why="random")
    put(review, plain)

    def left() -> Doubt | None:
        found = store.records.get(Review, "r")
        assert found is not None
        return found.doubt

    store.records.erase("u2")
    told = left()
    assert told is not None
    assert (told.supporting, told.opposing, told.others) == (("i3",), (), ("i4",))
    assert told.given == PLANTED
    store.records.erase("u9")
    told = left()
    assert told is not None
    assert (told.given, told.said) == (PLANTED, ("too",))
    store.records.erase("u8")
    told = left()
    assert told is not None
    assert (told.given, told.said, told.score) == (None, (), 0.9)
    assert store.records.get(Review, "p") == plain
    store.records.erase("u1")
    assert store.records.find(Review, "desk") == [plain]
