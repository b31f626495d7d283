"""A support desk that learns from its agents: run it, and watch the wheel turn twice.

python examples/support_desk.py
"""

import random
import tempfile

import everloop

ASKED = {
    "card_arrival": [
        "where is my card",
        "the card has not arrived",
        "when does the new card come",
        "no card in the post",
    ],
    "refund": ["i want my money back", "refund this purchase", "the shop will not return my money", "a refund is late"],
    "limit": ["raise my limit", "what is the most i can spend", "my limit is too low", "spend more per day"],
}
OPENINGS = [
    "hello",
    "good morning team",
    "sorry to bother you",
    "quick question",
    "i am abroad and",
    "as i wrote before",
]
CLOSINGS = [
    "thanks",
    "it is urgent",
    "i have waited a week",
    "please call me",
    "what can i do",
    "my order is number {}",
]


def main() -> None:
    random.seed(1)
    questions = [
        (f"{opening} {text} {closing.format(random.randrange(10_000))}", intent)
        for intent, texts in ASKED.items()
        for text in texts
        for opening in OPENINGS
        for closing in CLOSINGS
    ]
    random.shuffle(questions)
    truth = {}
    with tempfile.TemporaryDirectory() as home, everloop.open(home) as wheel:
        loop = wheel.loop(
            "support",
            signal="agents correct the suggested intent",
            outcome="handoff_rate",
            goal="down",
            labels=list(ASKED),
            # A small desk: set more aside to judge models by than a large one would, and have agents label it.
            policy={"golden_share": 0.2, "review_budget": 80, "review_fresh": 20, "margin": 0.1},
        )
        for day, traffic in enumerate((questions[:200], questions[200:]), start=1):
            right = 0
            for text, intent in traffic:
                answer = loop.predict(text, subject=f"customer {random.randrange(40)}")
                truth[answer.id] = intent
                right += answer.output == intent
                if answer.output != intent:
                    loop.feedback(answer.id, correction=intent)
            while loop.advance("hand") != "label":
                pass
            for review in loop.reviews():
                loop.annotate(review.id, truth[review.interaction], annotator="ann")
            print(f"day {day}: {right} of {len(traffic)} right")
            print(loop.turn().report())
        for arrow in loop.check().arrows:
            print(f"{arrow.claim}: {arrow.verdict}, {arrow.evidence}")
        print(loop.check().summary)


if __name__ == "__main__":
    main()
