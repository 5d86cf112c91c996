"""What does each side say of one incident, and where do they differ?

One story per voice: a party (as accuser, or speaking through its own source), our own monitors, or the media and the
public. Within a story reports may differ as well; a difference is marked between stories.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from monitoring import places
from monitoring.duplicates import in_hours, in_metres
from monitoring.kinds import CountUnit, Kind
from monitoring.models import Report, Source
from monitoring.seeing import SeenAt, seen_at

WATCHES = timedelta(minutes=10)  # so far apart two clocks may be that show the same time


@dataclass(frozen=True)
class Told:
    """A report in a story, with its place as the viewer sees it."""

    report: Report
    seen: SeenAt


@dataclass(frozen=True)
class Story:
    """What one voice says. ``voice`` is its name; ``is_party`` where it is a side's own."""

    voice: str
    is_party: bool
    told: tuple[Told, ...]

    @property
    def reports(self) -> list[Report]:
        """The reports alone, oldest first."""
        return [each.report for each in self.told]


@dataclass(frozen=True)
class Answer:
    """What one story says to one question, in words; ``notes`` say how it differs from which other story."""

    lines: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """True where it contradicts another story."""
        return bool(self.notes)


@dataclass(frozen=True)
class Question:
    """One question and the answer of each story, in the order of the stories."""

    label: str
    answers: tuple[Answer, ...]

    @property
    def is_disputed(self) -> bool:
        """True where any two stories contradict each other."""
        return any(answer.differs for answer in self.answers)


def stories(reports: Iterable[Report], *, by) -> list[Story]:
    """Return the stories that reports tell, parties first, then our monitors, then media; oldest report first in each.

    ``reports`` carry source, its party, accuser and accused; places are as ``by`` may see them.
    """
    voices: dict[tuple[int, str], list[Told]] = {}
    for report in reports:
        voices.setdefault(_voice(report), []).append(Told(report, seen_at(report, by)))
    return [
        Story(voice, rank == 0, tuple(told)) for (rank, voice), told in sorted(voices.items(), key=lambda one: one[0])
    ]


def compare(told: Sequence[Story]) -> list[Question]:
    """Return every question that some story answers, with what each says and how they differ.

    Time and place differ where they cannot both be true within their precisions; counts where their ranges do not meet;
    kind, accused and casualties where both say something and not the same. Silence contradicts nobody.
    """
    questions = (
        ("Time", _times, _time_words, _time_apart),
        ("Place", _points, _point_words, _place_apart),
        ("Kind", _of("kind", Kind.NOT_STATED), _kind_words, _other),
        ("Accused", _of("accused"), str, _other),
        ("Facility hit", _facilities, str, _other),
        ("Weapon", _of("weapon"), str, _never),
        ("Count", _counts, _count_words, _count_apart),
        ("Killed", _of("killed"), str, _other),
        ("Injured", _of("injured"), str, _other),
    )
    rows = []
    for label, read, words, apart in questions:
        said = [read(story) for story in told]
        if not any(said):
            continue
        rows.append(
            Question(
                label,
                tuple(
                    Answer(
                        lines=tuple(dict.fromkeys(words(value) for value in own)),
                        notes=tuple(
                            dict.fromkeys(
                                note.format(told[number].voice)
                                for number, others in enumerate(said)
                                if others is not own and (note := apart(own, others))
                            )
                        ),
                    )
                    for own in said
                ),
            )
        )
    return rows


# --- Whose story --------------------------------------------------------------------------


def _voice(report: Report) -> tuple[int, str]:
    """Return the rank and name of who tells it: whoever accuses, else whose voice the source is."""
    party = report.accuser or report.source.party
    if party is not None:
        return 0, party.name
    return 1 + list(Source.Class).index(report.source.source_class), report.source.get_source_class_display()


# --- What a story says to each question: a list of values, empty where it is silent --------


def _of(name: str, silent: Any = None):
    def read(story: Story) -> list[Any]:
        values = [getattr(report, name) for report in story.reports]
        return list(dict.fromkeys(value for value in values if value not in (None, "", silent)))

    return read


def _facilities(story: Story) -> list[str]:
    return list(dict.fromkeys(r.get_facility_class_display() for r in story.reports if r.facility_class))


def _times(story: Story) -> list[tuple]:
    return [
        (report.occurred_from, report.occurred_until, report.get_time_precision_display()) for report in story.reports
    ]


def _points(story: Story) -> list[places.Point | str]:
    return [told.seen.point or told.seen.name for told in story.told if told.seen.point or told.seen.name]


def _counts(story: Story) -> list[tuple[int, int, str]]:
    return [(r.count_low, r.count_high, r.count_unit) for r in story.reports if r.count_low is not None]


# --- In words -----------------------------------------------------------------------------


def _time_words(span: tuple) -> str:
    begins, ends, precision = span
    if begins == ends:
        return f"{begins:%Y-%m-%d %H:%M} UTC"
    last = f"{ends:%H:%M}" if begins.date() == ends.date() else f"{ends:%Y-%m-%d %H:%M}"
    return f"{begins:%Y-%m-%d %H:%M} to {last} UTC ({precision.lower()})"


def _point_words(at: places.Point | str) -> str:
    if isinstance(at, str):
        return at
    return f"{SeenAt(at, '', None, False).mgrs or places.as_degrees(at)} ±{in_metres(at.precision_m)}"


def _kind_words(kind: str) -> str:
    return Kind(kind).label


def _count_words(count: tuple[int, int, str]) -> str:
    low, high, unit = count
    return f"{low if low == high else f'{low}–{high}'} {CountUnit(unit).label.lower()}"


# --- Do two stories contradict each other? Each returns a note with a hole for the other voice, or nothing ---


def _time_apart(own: list, others: list) -> str:
    if not own or not others:
        return ""
    least = min(max(a[0] - b[1], b[0] - a[1], timedelta()) for a in own for b in others)
    if least <= WATCHES:
        return ""
    word = "before" if min(a[0] for a in own) < min(b[0] for b in others) else "after"
    return f"{in_hours(least)} {word} {{}}"


def _place_apart(own: list, others: list) -> str:
    pairs = [(a, b) for a in own for b in others if not isinstance(a, str) and not isinstance(b, str)]
    if not pairs:
        return ""
    distances = [(places.distance_m(a, b), a.precision_m + b.precision_m) for a, b in pairs]
    if any(distance <= vague for distance, vague in distances):
        return ""
    return f"{in_metres(min(distance for distance, _ in distances))} from {{}}"


def _count_apart(own: list, others: list) -> str:
    pairs = [(a, b) for a in own for b in others if a[2] == b[2]]
    if not pairs or any(a[0] <= b[1] and b[0] <= a[1] for a, b in pairs):
        return ""
    return "more than {}" if max(a[1] for a, _ in pairs) > max(b[1] for _, b in pairs) else "fewer than {}"


def _other(own: list, others: list) -> str:
    return "contradicts {}" if own and others and not set(own) & set(others) else ""


def _never(own: list, others: list) -> str:
    return ""
