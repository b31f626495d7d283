"""The funnel's first half: one interaction after the other past the rules on rows, and into what is carried."""

from bisect import insort
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec.structs import replace

from everloop.curate import listening
from everloop.curate.asked import asked
from everloop.curate.carried import Carried, Click, Left, Raw, Row, Told, memory_of
from everloop.curate.inputs import fingerprint
from everloop.curate.rule import Context, Hit, Passing, Rule, reason
from everloop.curate.rules_row import DUPLICATE, SEALED
from everloop.curate.statements import statements
from everloop.types import (
    Annotation,
    Correction,
    Evidence,
    Feedback,
    Interaction,
    Label,
    Policy,
    Rating,
    Split,
    Statement,
    Thumb,
)

_NOTHING: tuple[Raw, ...] = ()
_ABOUT = 80  # characters of an answer or a label by which feedback is told apart


class _First(Mapping[str, str]):
    """Fingerprint -> id of the interaction kept for it, read out of the rows."""

    def __init__(self, rows: Mapping[str, Row]):
        self._rows = rows

    def __getitem__(self, key: str) -> str:
        return self._rows[key].members[0][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class Door:
    """Rules on rows over what is carried. `touched` are the fingerprints of which something changed."""

    def __init__(
        self, loop: str, rules: Sequence[Rule], state: Carried, policy: Policy, *, task: str,
        feedback: Mapping[str, Sequence[Feedback]], annotations: Mapping[str, Sequence[Annotation]],
        labels: frozenset[str], weights: Mapping[str, float], undone: Collection[tuple[str, str]],
    ):  # fmt: skip
        self.touched: set[str] = set()
        self._loop = loop
        self._rules = [(rule, reason(rule.name)) for rule in rules if rule.on != "evidence"]
        self._on_text = [(rule.check, reason(rule.name)) for rule in rules if rule.on == "text"]
        self._on_traffic = [
            (rule.check, reason(rule.name), memory_of(state, rule.name)) for rule in rules if rule.on == "traffic"
        ]
        self._state = state
        self._feedback, self._annotations, self._labels, self._undone = feedback, annotations, labels, undone
        self._heard: set[str] = set()  # subjects of whose feedback something is new
        self._context = Context(_First(state.rows), state.sealed, {}, state.width, task, weights, policy.languages)

    def context(self, straddling: Mapping[str, str]) -> Context:
        """What rules on evidence may look at."""
        return self._context._replace(straddling=straddling)

    def seal(self, inputs: Collection[str]) -> None:
        """From now on these fingerprints are of test rows: what was let in of them is left out after all."""
        state, names = self._state, [name for _, name in self._rules]
        state.sealed.update(inputs)
        if not inputs or not any(rule.name == SEALED for rule, _ in self._rules):
            return
        for key in inputs:
            row = state.rows.pop(key, None)
            for number, id in row.members if row is not None else ():
                state.left[id] = Left(number, key, ("sealed", None, key))
        place = names.index(reason(SEALED))
        for left in state.left.values():
            if left.key in inputs and names.index(left.why[0]) > place:
                left.why = ("sealed", None, left.key)

    def admit(self, it: Interaction) -> None:
        """An interaction that was not seen before."""
        number = self._state.seen
        self._state.seen += 1
        self._judge(it, number, new=True)

    def admit_again(self, it: Interaction) -> None:
        """One that was, of which something changed. One that was not is for `admit`."""
        state, key = self._state, fingerprint(it.input)
        left, row = state.left.pop(it.id, None), state.rows.get(key)
        if left is not None:
            return self._judge(it, left.number, new=False)
        member = next((one for one in row.members if one[1] == it.id), None) if row is not None else None
        if row is None or member is None:
            return None
        row.members.remove(member)
        row.told.pop(it.id, None)
        if not row.members:
            del state.rows[key]
        elif row.bare.interaction == it.id:
            row.bare = replace(row.bare, interaction=row.members[0][1])
        self.touched.add(key)
        return self._judge(it, member[0], new=False)

    def listen(self) -> None:
        """Decide whose feedback does not count; what they spoke of is touched where that changed."""
        state = self._state
        for who in self._heard:
            why = listening.unheard(state.clicks[who].values())
            if why == state.deaf.get(who):
                continue
            if why is None:
                del state.deaf[who]
            else:
                state.deaf[who] = why
            self.touched.update(click.key for click in state.clicks[who].values())

    def unmute(self, feedback: Collection[str]) -> None:
        """A person took back that these pieces of feedback are not heard, or that was forgotten."""
        for who in self._state.deaf if feedback else ():
            for id in self._state.clicks[who].keys() & set(feedback):
                self.touched.add(self._state.clicks[who][id].key)

    def _judge(self, it: Interaction, number: int, *, new: bool) -> None:
        state, key = self._state, fingerprint(it.input)
        feedback = self._feedback.get(it.id, ())
        told = self._told(it, key, feedback) if feedback or it.id in self._annotations else _quiet(it)
        on_text: Sequence[Raw] = _NOTHING
        on_traffic: Sequence[Raw] = _NOTHING
        if "improve" in it.consent:  # nothing is remembered of others
            on_text, on_traffic = self._texts(it, key), self._traffic(it, key, new=new)
            state.known.add(key)
        for rule, name in self._rules:
            if rule.name == DUPLICATE:
                row = state.rows.get(key)
                if row is not None and row.members[0][0] < number and (it.id, name) not in self._undone:
                    break  # it joins the first; what else there is to say of it was said of that one
                continue
            if rule.on == "interaction":
                hit = rule.check(it, key, self._context)
                why = (name, hit.score, hit.matched) if hit is not None else None
            else:
                why = next((raw for raw in (on_text if rule.on == "text" else on_traffic) if raw[0] == name), None)
            if why is None or (it.id, name) in self._undone or (rule.yields and told.asked):
                continue
            state.left[it.id] = Left(number, key, why)
            return
        self._keep(it, number, key, told)

    def _keep(self, it: Interaction, number: int, key: str, told: Told) -> None:
        state = self._state
        row = state.rows.get(key)
        if row is None:
            row = state.rows[key] = Row([(number, it.id)], _bare(self._loop, key, it))
        else:
            insort(row.members, (number, it.id))
            if row.members[0][1] == it.id:
                row.bare = _bare(self._loop, key, it)
        if told.statements or told.subjects or told.split:
            row.told[it.id] = told
        self.touched.add(key)
        if state.width is None:
            state.width = len(it.input) if isinstance(it.input, list) else 0
            self._context = self._context._replace(width=state.width)

    def _texts(self, it: Interaction, key: str) -> Sequence[Raw]:
        state = self._state
        if self._on_text and key not in state.known and (text := asked(it.input)) is not None:
            found: list[Raw] = []
            for check, name in self._on_text:
                hit: Hit | None = check(text)
                if hit is not None:
                    found.append((name, hit.score, hit.matched))
            if found:
                state.texts[key] = found
        return state.texts.get(key, _NOTHING)

    def _traffic(self, it: Interaction, key: str, *, new: bool) -> Sequence[Raw]:
        state = self._state
        if not new or not self._on_traffic:
            return state.traffic.get(it.id, _NOTHING)
        row = Passing(it.id, it.at, it.subject or it.session, key, asked(it.input), key not in state.known)
        found: list[Raw] = []
        for check, name, memory in self._on_traffic:
            hit: Hit | None = check(row, memory, self._context)
            if hit is not None:
                found.append((name, hit.score, hit.matched))
        if found:
            state.traffic[it.id] = found
        return found

    def _told(self, it: Interaction, key: str, feedback: Sequence[Feedback]) -> Told:
        said = [f for f in feedback if f.consent is None or "improve" in f.consent]
        # Feedback that came before its interaction could not be checked at the door, and a set may be narrowed later.
        heard = tuple(
            s for s in statements(it, said, self._annotations.get(it.id, ()))
            if not self._labels or s.value in self._labels
        )  # fmt: skip
        for item in said:
            if item.subject is not None and item.source == "user" and (what := _said(item)) is not None:
                clicks = self._state.clicks.setdefault(item.subject, {})
                if item.id not in clicks:
                    clicks[item.id] = Click(item.at, what, (it.output or "")[:_ABOUT], key)
                    self._heard.add(item.subject)
        subjects = tuple(s for s in (it.subject, *(f.subject for f in said)) if s is not None)
        return Told(heard, subjects, _asked_split(said), any(map(_asked_about, heard)))


def _quiet(it: Interaction) -> Told:
    return Told(subjects=(it.subject,)) if it.subject is not None else Told()


def _asked_split(said: Sequence[Feedback]) -> Split | None:
    splits = [f.split for f in said if isinstance(f, Label) and f.split is not None]
    return splits[-1] if splits else None


def _asked_about(statement: Statement) -> bool:
    return statement.kind in {"annotation", "label"}


def _said(item: Feedback) -> str | None:
    match item:
        case Thumb(value=value):
            return f"thumb {value}"
        case Rating(value=value, scale=scale):
            return f"rating {value:g} of {scale:g}"
        case Correction(value=value):
            return f"correction {value[:_ABOUT]}"
    return None


def _bare(loop: str, key: str, it: Interaction) -> Evidence:
    return Evidence(
        id=key, loop=loop, input=it.input, interaction=it.id, output=it.output, confidence=it.confidence,
        alternatives=it.alternatives, group=key, split="train",
        slices=tuple(sorted(f"{k}={v}" for k, v in it.context.items() if isinstance(v, str | int | bool))),
    )  # fmt: skip
