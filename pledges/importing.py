"""What does a row of a file say about a pledge, and what becomes of it?

Two kinds of files. *Pledges*: what nations hand in about their own forces; rows enter as offered, or as signalled when
the file says so. *Public statements*: what was said in the press; every row enters as signalled whatever its own word,
without a planning quantity, and a nation that declined or is still considering is no pledge but a standing.

Nothing is guessed. A figure in another unit than the capability's stays in the text, a condition that matches none of
ours stays in the note, a row whose kind nobody translated is rejected.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef

from coalition import nations
from coalition.access import Tier, because, can, demand
from coalition.editing import Refused, check, is_id, lock
from coalition.imports.cells import Day, Quantity, Unclear, folded
from coalition.imports.mapping import Field, Problem
from coalition.imports.profiles import Candidate, Judgement, Offer, Outcome, RowProfile, Session, Worded, Written
from coalition.models import Condition, ImportBatch, ImportRow, Nation
from coalition.rows import as_given
from pledges import declaring
from pledges.models import LARGEST, Allocation, Capability, Pledge

TEXTS = ("what", "source", "source_url", "note")
TIERS = {tier.label: tier for tier in Tier}
SAME_UNIT = {  # what one person is called; no other unit has two names that mean the same
    "personnel": "person",
    "people": "person",
    "soldier": "person",
    "troop": "person",
    "head": "person",
}
DAYS = ("available_from", "available_until", "stated_on")
FIGURES = ("stated_low", "stated_high", "quantity")
COMPARED = (
    "capability",
    "what",
    *FIGURES,
    "available_from",
    "available_until",
    "notice_days",
    "conditions",
    "tier",
    "source",
    "source_url",
    "stated_on",
    "note",
)
LABELS = {"what": "What it is", "stated_low": "Stated, low", "stated_high": "Stated, high", "notice_days": "Notice"}

STATEMENT, UNOFFICIAL, CONSIDERING, DECLINED = "signalled", "unofficial", "under consideration", "declined"
SAID = {
    **dict.fromkeys(["signalled", "signaled", "offered", "committed", "pledged", "promised", "announced"], STATEMENT),
    **dict.fromkeys(["unofficial", "reported unofficial", "reported", "unconfirmed"], UNOFFICIAL),
    **dict.fromkeys(["under consideration", "considering", "not ruled out", "undecided"], CONSIDERING),
    **dict.fromkeys(["declined", "refused", "ruled out"], DECLINED),
}
STANDING = {CONSIDERING: Nation.Standing.CONSIDERING, DECLINED: Nation.Standing.DECLINED}


def read_numbers(text: str) -> list[int]:
    """Return the numbers in a cell, in order, each once. Raises Unclear."""
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if not all(is_id(part) for part in parts):
        raise Unclear("is no list of numbers, parted by semicolons.")
    return sorted({int(part) for part in parts})


FIELDS = (
    Field("nation", "Nation", "country", required=True, synonyms=("iso2", "nation code", "country code", "country")),
    Field(
        "capability",
        "Capability",
        help="Its code or name; other words are translated below",
        synonyms=("capability code", "category", "kind", "type"),
    ),
    Field(
        "what",
        "What it is",
        required=True,
        max_length=300,
        synonyms=("pledge_text", "statement", "text", "description", "contribution"),
    ),
    Field("stated", "Stated quantity", "quantity", help="200, 100-200, up to 50", synonyms=("quantity", "amount")),
    Field("stated_low", "Stated, low", "decimal", low=0, high=LARGEST, synonyms=("quantity_low", "low", "minimum")),
    Field("stated_high", "Stated, high", "decimal", low=0, high=LARGEST, synonyms=("quantity_high", "high", "maximum")),
    Field("unit", "Unit", max_length=60, synonyms=("unit of measure", "units")),
    Field("available_from", "Available from", "day", synonyms=("from", "start", "#date+start")),
    Field("available_until", "Available until", "day", synonyms=("until", "to", "end", "#date+end")),
    Field("notice_days", "Notice to move, days", "integer", low=0, high=3650, synonyms=("notice", "ntm", "readiness")),
    Field(
        "conditions", "Conditions", max_length=1000, help="Parted by semicolons", synonyms=("condition", "subject to")
    ),
    Field("source", "Source", max_length=250, synonyms=("said by", "outlet")),
    Field("source_url", "Source address", max_length=500, synonyms=("url", "link", "source link", "address")),
    Field("stated_on", "Stated on", "day", synonyms=("statement_date", "date", "said on", "date stated")),
    Field("status", "Status word", max_length=100, synonyms=("level", "commitment")),
    Field("tier", "Release tier", "choice", choices=tuple((name, name.capitalize()) for name in TIERS)),
    Field("external_id", "Id in the data set", max_length=200, synonyms=("id", "reference", "ref", "pledge id")),
    Field("note", "Note", max_length=2000, synonyms=("notes", "comment", "remarks")),
)


class PledgeProfile(RowProfile):
    """Pledges as nations hand them in."""

    name = "pledges"
    label = "Pledges handed in by nations"
    lead = "Rows become pledges, offered unless the file says signalled."
    action = "import_pledges"
    dataset = "nations"
    noun = "pledges"
    fields: ClassVar[tuple[Field, ...]] = (
        *FIELDS[:7],
        Field("planned", "Planning quantity", "decimal", low=0, high=LARGEST, synonyms=("planning figure",)),
        *FIELDS[7:],
    )
    says: tuple[tuple[str, str], ...] = (
        ("offered", "Offered: the nation says so"),
        ("signalled", "Signalled: said in public"),
    )

    def worded(self, batch: ImportBatch, *, by) -> list[Worded]:
        capabilities = [
            (capability.code, f"{capability.name} ({capability.unit})")
            for capability in Capability.objects.visible_to(by).order_by("category", "name")
        ]
        conditions = [
            (condition.title, condition.title)
            for condition in Condition.objects.visible_to(by).filter(operation=batch.operation).order_by("title")
        ]
        return [
            Worded("capability", tuple(capabilities)),
            Worded("status", self.says),
            Worded("conditions", tuple(conditions), separator=";"),
        ]

    def open(self, batch: ImportBatch, *, by) -> "PledgeSession":
        return PledgeSession(batch, by=by)

    def link(self, row: ImportRow) -> tuple[str, str] | None:
        code = row.values.get("draft", {}).get("nation")
        if row.outcome == Outcome.STANDING:
            return (code, f"/nations/{code}/") if code else None
        return (f"P{row.target_id}", f"/pledges/{row.target_id}/") if row.target_id else None


class StatementProfile(PledgeProfile):
    """What was said in public."""

    name = "public-statements"
    label = "Public statements"
    lead = "Every statement enters as signalled, without a planning quantity; who declined or considers is a standing."
    dataset = "public-statements"
    fields = tuple(
        Field(**{**vars(each), "required": True}) if each.name in ("status", "stated_on") else each for each in FIELDS
    )
    says = (
        (STATEMENT, "A statement: enters as signalled"),
        (UNOFFICIAL, "An unofficial report: signalled, and said to be unofficial"),
        (CONSIDERING, "Still considering: no pledge, the nation's standing"),
        (DECLINED, "Declined: no pledge, the nation's standing"),
    )

    def open(self, batch: ImportBatch, *, by) -> "StatementSession":
        return StatementSession(batch, by=by)


class OwnPledges(PledgeProfile):
    """Our own export, coming back: corrected in a spreadsheet, say. Steps are not taken by files."""

    name = "own-pledges"
    label = "Pledges exported from here"
    lead = "Our own csv or xlsx of pledges, corrected: rows change the pledges they came from, and make no new ones."
    dataset = "own-pledges"
    id_field = "id"
    time_zone = "UTC"
    fields = (
        Field("id", "Our number", "integer", required=True, low=1, high=10**18),
        Field("capability", "Capability"),
        Field("what", "What it is", max_length=302, read=as_given),
        Field("stated_low", "Stated, low", "decimal", low=0, high=LARGEST),
        Field("stated_high", "Stated, high", "decimal", low=0, high=LARGEST),
        Field("quantity", "Planning quantity", "decimal", low=0, high=LARGEST),
        Field("available_from", "Available from", "day"),
        Field("available_until", "Available until", "day"),
        Field("notice_days", "Notice to move, days", "integer", low=0, high=3650),
        Field("conditions", "Conditions", help="Their numbers, parted by semicolons", read=read_numbers),
        Field("tier", "Release tier", "choice", choices=tuple((name, name.capitalize()) for name in TIERS)),
        Field("source", "Source", read=as_given),
        Field("source_url", "Source address", read=as_given),
        Field("stated_on", "Stated on", "day"),
        Field("note", "Note", read=as_given),
    )

    def worded(self, batch: ImportBatch, *, by) -> list[Worded]:
        return [each for each in super().worded(batch, by=by) if each.field == "capability"]

    def open(self, batch: ImportBatch, *, by) -> "OwnSession":
        return OwnSession(batch, by=by)


class Unfit(Exception):
    """The row cannot become a pledge."""

    def __init__(self, field: str, value: object, reason: str):
        super().__init__(reason)
        self.field, self.value, self.reason = field, str(value or ""), reason


class PledgeSession(Session):
    """One go at a file of pledges."""

    entry_tier = Tier.COALITION

    def __init__(self, batch: ImportBatch, *, by):
        if batch.operation is None:
            raise Refused("Pledges belong to an operation; this import has none.")
        self.batch, self.by, self.operation = batch, by, batch.operation
        self.translated = batch.mapping.get("words", {}).get("conditions", {})
        self.column = {to: column for column, to in batch.mapping.get("columns", {}).items()}
        self.nations = {nation.pk: nation for nation in Nation.objects.visible_to(by)}
        self.capabilities = {}
        for capability in Capability.objects.visible_to(by):
            self.capabilities[folded(capability.code)] = self.capabilities[folded(capability.name)] = capability
        self.conditions = list(Condition.objects.visible_to(by).filter(operation=self.operation))
        self.unmatched: Counter[str] = Counter()
        self.known: dict[tuple, int] = {}  # what stands elsewhere and may be the same
        self.made: dict[int, int] = {}  # row number -> pledge, in this commit
        self.nation_versions: dict[str, int] = {}  # as this commit left them

    # --- Judging

    def judge(self, candidates: Sequence[Candidate]) -> Iterator[Judgement]:
        stored, earlier = self._stored(candidates)
        self.known = self._known()
        judgements = {}
        for candidate in candidates:
            try:
                judgements[candidate.number] = self._judge(candidate, stored, earlier)
            except Unfit as unfit:
                problem = Problem(candidate.number, self._column(unfit.field), unfit.value[:80], unfit.reason)
                judgements[candidate.number] = Judgement(Outcome.REJECTED, problems=(problem,))
        self._offer(judgements, earlier)
        for candidate in candidates:
            yield judgements[candidate.number]

    def remarks(self) -> list[str]:
        return [
            f"“{text}” matches no condition ({count} row{'s' if count > 1 else ''}); it stays in the note."
            for text, count in self.unmatched.most_common(50)
        ]

    def _column(self, field: str) -> str:
        return self.column.get(field, "")

    def _stored(self, candidates: Sequence[Candidate]) -> tuple[dict[str, Pledge], dict[str, ImportRow]]:
        """The pledges that have these ids already, and by id the last row that wrote something for it."""
        keys = [candidate.key for candidate in candidates]
        pledges = Pledge.objects.visible_to(self.by).filter(
            operation=self.operation, dataset=self.batch.dataset, external_id__in=keys
        )
        stored = {p.external_id: p for p in pledges.select_related("capability").prefetch_related("conditions")}
        written = ImportRow.objects.filter(
            batch__profile=self.batch.profile,
            batch__dataset=self.batch.dataset,
            batch__operation=self.operation,
            approved=True,
            target_version__isnull=False,
        )
        return stored, {row.external_id: row for row in written.order_by("batch__committed_at", "pk")}

    def _known(self) -> dict[tuple, int]:
        """Pledges with an address that are not of this data set, by nation, capability, day and address."""
        others = Pledge.objects.visible_to(self.by).filter(operation=self.operation).exclude(source_url="")
        others = others.exclude(dataset=self.batch.dataset).filter(stated_on__isnull=False)
        named = others.values_list("nation_id", "capability__code", "stated_on", "source_url", "pk")
        return {(nation, code, day.isoformat(), url): pk for nation, code, day, url, pk in named}

    def _judge(self, candidate: Candidate, stored: dict[str, Pledge], earlier: dict[str, ImportRow]) -> Judgement:
        nation = self._nation(candidate.values)
        draft, remarks = self._draft(candidate, nation)
        problems = tuple(Problem(candidate.number, self._column(name), "", text) for name, text in remarks)
        pledge, last = stored.get(candidate.key), earlier.get(candidate.key)
        if pledge is None:
            says = f"{nation.name}: {draft['what']}"
            if twin := self.known.get((nation.pk, draft["capability"], draft["stated_on"], draft["source_url"])):
                text = (
                    f"P{twin} has the same nation, capability, day and address: leave this row out if it is the same."
                )
                problems += (Problem(candidate.number, "", "", text),)
            return Judgement(Outcome.NEW, says=says, draft=draft, problems=problems)
        if pledge.nation_id != nation.pk:
            raise Unfit("external_id", candidate.key, f"This id is P{pledge.pk}, a pledge of another nation.")
        # Against what the file said last time, not against the pledge: what people changed here since is theirs.
        said = last.values["draft"] if last is not None and last.target_id == pledge.pk else _as_draft(pledge)
        changes = {name: draft[name] for name in COMPARED if draft[name] != said.get(name)}
        now = _as_draft(pledge)
        changes = {name: value for name, value in changes.items() if value != now[name]}
        if not changes:
            says = f"{nation.name}: {pledge.what}"
            return Judgement(Outcome.SAME, says=says, draft=draft, target_id=pledge.pk)
        if pledge.superseded_by_id or pledge.status not in Pledge.ON_LADDER:
            raise Unfit(
                "external_id",
                candidate.key,
                f"P{pledge.pk} is history (superseded, or off the ladder) and stays as it is.",
            )
        shown = tuple(
            (
                LABELS.get(name, name.replace("_", " ").capitalize()),
                self._text(name, now[name]),
                self._text(name, value),
            )
            for name, value in changes.items()
        )
        return Judgement(
            Outcome.CHANGED,
            says=str(pledge),
            draft=draft | {"changes": changes},
            changes=shown,
            problems=problems,
            target_id=pledge.pk,
            based_on=pledge.version,
        )

    def _nation(self, values: Mapping[str, Any]) -> Nation:
        nation = self.nations.get(values["nation"])
        if nation is None:
            raise Unfit("nation", values["nation"], f"{values['nation']} is not among the nations kept here.")
        if not can(self.by, "import_pledges", Pledge(nation=nation)):
            raise Unfit("nation", nation.pk, f"{nation.name}: you import for your own nation only.")
        return nation

    def _capability(self, word: str) -> Capability:
        capability = self.capabilities.get(folded(word)) if word else None
        if capability is None:
            reason = "is no capability: choose one for this word in the mapping." if word else "It names no capability."
            raise Unfit("capability", word, f"“{word[:80]}” {reason}" if word else reason)
        return capability

    def _draft(self, candidate: Candidate, nation: Nation) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """The fields of the pledge as JSON, and what a person should know: field and sentence."""
        values = candidate.values
        remarks: list[tuple[str, str]] = []
        note = [values["note"]] if values["note"] else []
        tier = TIERS[values["tier"]] if values["tier"] else self.entry_tier
        capability = self._capability(values["capability"])
        figures = self._figures(values, capability, note, remarks)
        status = self._status(values, note)
        conditions = self._matched(values["conditions"], nation, tier, note, remarks)
        days = {name: self._day(name, values[name], note) for name in DAYS}
        draft = {
            "nation": nation.pk,
            "capability": capability.code,
            "what": values["what"],
            **figures,
            **days,
            "notice_days": values["notice_days"] or 0,
            "conditions": conditions,
            "tier": int(tier),
            "source": self._source(values),
            "source_url": values["source_url"],
            "note": "\n".join(note),
            "status": status,
        }
        said: Day | None = values["stated_on"]
        if said and said.first > self.operation.today():
            raise Unfit(
                "stated_on", draft["stated_on"], f"{draft['stated_on']} is still to come, so nobody said it then."
            )
        try:
            check(self._pledge(draft, nation, capability), unique=False)
        except ValidationError as error:
            name, texts = next(iter(error.message_dict.items()))
            raise Unfit(name, values.get(name, ""), " ".join(texts)) from error
        if said:
            draft["said_until"] = said.last.isoformat()
        draft["shown"] = self._shown(draft, capability)
        return draft, remarks

    def _shown(self, draft: Mapping[str, Any], capability: Capability) -> str:
        """The rest of a draft in one line."""
        figures = _from_json(draft)
        stated = _range(figures["stated_low"], figures["stated_high"])
        parts = [
            capability.name,
            f"{stated} {capability.unit} stated" if stated else "",
            f"{draft['quantity']} planned" if draft["quantity"] else "unquantified",
            f"said {draft['stated_on']}" if draft["stated_on"] else "",
            f"hangs on {self._text('conditions', draft['conditions'])}" if draft["conditions"] else "",
        ]
        return "; ".join(filter(None, parts))

    def _pledge(self, draft: Mapping[str, Any], nation: Nation, capability: Capability) -> Pledge:
        plain = {name: value for name, value in _from_json(draft).items() if name in declaring.PLAIN}
        return Pledge(nation=nation, capability=capability, operation=self.operation, **plain)

    def _figures(
        self, values: Mapping[str, Any], capability: Capability, note: list[str], remarks: list[tuple[str, str]]
    ) -> dict[str, str | None]:
        stated: Quantity | None = values["stated"]
        low, high = values["stated_low"], values["stated_high"]
        if stated and (low, high) == (None, None):
            low, high = stated.low, stated.high
            if stated.approximate:
                note.append(f"Stated as “{stated.text}”.")
        elif stated and (low, high) != (stated.low, stated.high):
            raise Unfit("stated", stated.text, "does not agree with the stated low and high figures.")
        if low is not None and high is not None and low > high:
            raise Unfit("stated_low", low, f"{_figure(low)} is above the stated high figure, {_figure(high)}.")
        planning = values.get("planned")
        if planning is not None and (low, high) == (None, None):
            low = high = planning
        if (low, high, planning) != (None, None, None) and not self._fits(values["unit"], capability):
            figure = _range(low, high) or f"{planning:f}"
            unit = values["unit"] or "no unit stated"
            note.append(f"Stated: {figure} ({unit}); not converted to {capability.unit}.")
            remarks.append(
                ("unit", f"{figure} ({unit}) is kept in the text: {capability.name} counts {capability.unit}.")
            )
            low = high = planning = None
        elif planning is None and low is not None and low == high:
            planning = self._planned(low)
        return {"stated_low": _figure(low), "stated_high": _figure(high), "quantity": _figure(planning)}

    def _fits(self, unit: str, capability: Capability) -> bool:
        """Without a unit of its own a nation counts in ours."""
        return not unit or _unit(unit) == _unit(capability.unit)

    def _planned(self, stated: Decimal) -> Decimal | None:
        """The planning quantity where only one exact figure is stated."""
        return stated

    def _status(self, values: Mapping[str, Any], note: list[str]) -> str:
        word = folded(values["status"])
        if word and word not in (Pledge.Status.OFFERED, Pledge.Status.SIGNALLED):
            raise Unfit(
                "status",
                values["status"],
                f"“{values['status']}”: a pledge enters as offered or signalled, then climbs.",
            )
        return word or Pledge.Status.OFFERED

    def _source(self, values: Mapping[str, Any]) -> str:
        return values["source"] or (urlsplit(values["source_url"]).hostname or "")[:250]

    def _day(self, name: str, day: Day | None, note: list[str]) -> str | None:
        if day is None:
            return None
        if day.precision != "day":
            what = LABELS.get(name, name.replace("_", " ").capitalize())
            stated = f"{day.first:%Y-%m}" if day.precision == "month" else f"{day.first:%Y}"
            end = "last" if name == "available_until" else "first"
            note.append(f"{what}: {stated}; the day is not given, the {end} one stands here.")
        return (day.last if name == "available_until" else day.first).isoformat()

    def _matched(
        self, text: str, nation: Nation, tier: int, note: list[str], remarks: list[tuple[str, str]]
    ) -> list[int]:
        """The conditions a text names, and only where it can mean no other; the rest goes into the note."""
        ours = [c for c in self.conditions if c.tier <= tier and c.nation_id in (None, nation.pk)]
        found, left = set(), []
        for part in [text] if any(c.title == text for c in ours) else text.split(";"):
            word = folded(part)
            if not word:
                continue
            word = folded(self.translated.get(part.strip(), part))
            fits = [c for c in ours if folded(c.title) == word]
            fits = fits or [c for c in ours if word in (folded(c.kind), folded(c.get_kind_display()))]
            if len(fits) == 1:
                found.add(fits[0].pk)
            else:
                left.append(part.strip())
        if left:
            self.unmatched.update(left)
            note.append(f"Conditions as stated: {'; '.join(left)}.")
            remarks.append(("conditions", f"“{'; '.join(left)}” matches no condition and is kept in the note."))
        return sorted(found)

    def _offer(self, judgements: dict[int, Judgement], earlier: dict[str, ImportRow]) -> None:
        """Offer each earlier statement of the same nation on the same capability to the next that is surely later."""
        new = {n: j for n, j in judgements.items() if j.outcome == Outcome.NEW and j.draft.get("stated_on")}
        waiting: dict[tuple[str, str], list[tuple[str, dict]]] = {}  # its last possible day, and what it is
        until = {row.target_id: row.values["draft"].get("said_until", "") for row in earlier.values() if row.target_id}
        ours = {(j.draft["nation"], j.draft["capability"]) for j in new.values()}
        stored = Pledge.objects.visible_to(self.by).filter(
            ~Exists(Allocation.objects.filter(pledge=OuterRef("pk"))),
            operation=self.operation,
            nation__in={nation for nation, _ in ours},
            status=Pledge.Status.SIGNALLED,
            superseded_by=None,
            stated_on__isnull=False,
            illustrative=False,
        )
        for pledge in stored.select_related("capability"):
            data = {"pledge": pledge.pk, "version": pledge.version, "of": f"P{pledge.pk}: {pledge.what}"}
            last = until.get(pledge.pk) or pledge.stated_on.isoformat()
            waiting.setdefault((pledge.nation_id, pledge.capability.code), []).append((last, data))
        for number, judgement in new.items():
            draft = judgement.draft
            data = {"row": number, "of": f"row {number}: {draft['what']}"}
            waiting.setdefault((draft["nation"], draft["capability"]), []).append((draft["said_until"], data))
        for number in sorted(new, key=lambda n: (new[n].draft["said_until"], n)):
            judgement = new[number]
            same = waiting[judgement.draft["nation"], judgement.draft["capability"]]
            before = [each for each in same if each[0] < judgement.draft["stated_on"]]
            if before:
                best = max(before, key=lambda each: (each[0], each[1].get("row", 0)))
                same.remove(best)
                label = f"Supersedes {best[1].pop('of')} ({best[0]})"
                judgements[number] = Judgement(**{**vars(judgement), "offer": Offer(label, best[1])})

    def _text(self, name: str, value: Any) -> str:
        if name == "conditions":
            titles = {condition.pk: condition.title for condition in self.conditions}
            return "; ".join(titles.get(pk, "a condition you may not see") for pk in value) or "none"
        if name == "tier":
            return Tier(value).label
        return "none" if value in (None, "") else str(value)

    # --- Writing

    def in_order(self, rows: Iterable[ImportRow]) -> list[ImportRow]:
        """By the day it was said, so that a later statement finds the earlier one to supersede."""
        return sorted(rows, key=lambda row: (row.values["draft"].get("stated_on") or "", row.number))

    def write(self, row: ImportRow) -> Written:
        if row.outcome == Outcome.STANDING:
            return self._write_standing(row)
        return self._write_new(row) if row.outcome == Outcome.NEW else self._write_changed(row)

    def at_once(self, row: ImportRow) -> bool:
        """New pledges that supersede nothing."""
        return row.outcome == Outcome.NEW and not row.values.get("offer", {}).get("taken")

    def write_many(self, rows: Sequence[ImportRow]) -> dict[int, Written]:
        self._refuse_known(rows)
        pledges = declaring.declare_many([self._new(row) for row in rows], by=self.by)
        self.made |= {row.number: pledge.pk for row, pledge in zip(rows, pledges, strict=True)}
        return {row.pk: Written(pledge.pk) for row, pledge in zip(rows, pledges, strict=True)}

    def _refuse_known(self, rows: Sequence[ImportRow]) -> None:
        known = Pledge.objects.filter(operation=self.operation, dataset=self.batch.dataset)
        if known.filter(external_id__in=[row.external_id for row in rows]).exists():
            raise Refused("It was imported by somebody else since it was tried.")

    def _new(self, row: ImportRow) -> dict[str, Any]:
        draft = {name: value for name, value in _from_json(row.values["draft"]).items() if name in declaring.DECLARED}
        id_here = {"dataset": self.batch.dataset, "external_id": row.external_id}
        return draft | {"operation": self.operation, "batch": self.batch, **id_here}

    def _write_new(self, row: ImportRow) -> Written:
        self._refuse_known([row])
        pledge = declaring.declare(self._new(row), by=self.by)
        self.made[row.number] = pledge.pk
        offer = row.values.get("offer")
        if not offer or not offer["taken"]:
            return Written(pledge.pk)
        # The earlier row may not have been approved: then there is nothing to supersede.
        old = offer.get("pledge") or self.made.get(offer["row"])
        if old is not None:
            declaring.supersede(old, pledge.pk, by=self.by, based_on=offer.get("version"))
        return Written(pledge.pk, {"supersedes": old})

    def _write_changed(self, row: ImportRow) -> Written:
        pledge = lock(Pledge.objects.visible_to(self.by), row.target_id, based_on=row.values["based_on"])
        changes = row.values["draft"]["changes"]
        now = _as_draft(pledge)
        declaring.revise(pledge.pk, _from_json(changes) | {"batch": self.batch}, by=self.by, based_on=pledge.version)
        return Written(pledge.pk, {"batch": pledge.batch_id, **{name: now[name] for name in changes}})

    def _write_standing(self, row: ImportRow) -> Written:
        draft = row.values["draft"]
        based_on = self.nation_versions.get(draft["nation"], row.values["based_on"])
        nation = Nation.objects.get(pk=draft["nation"])
        before = {"standing": nation.standing, "standing_source": nation.standing_source}
        changes = {"standing": draft["standing"], "standing_source": draft["standing_source"]}
        nation = nations.revise(nation.pk, changes, by=self.by, based_on=based_on, why=f"Import {self.batch.pk}")
        self.nation_versions[nation.pk] = nation.version
        return Written(None, before)

    # --- Undoing

    def versions(self, rows: Sequence[ImportRow]) -> dict[int, int]:
        pledges = Pledge.objects.visible_to(self.by).filter(pk__in=[row.target_id for row in rows if row.target_id])
        of_pledge = dict(pledges.values_list("pk", "version"))
        of_nation = dict(Nation.objects.values_list("pk", "version"))
        found = {}
        for row in rows:
            standing = row.outcome == Outcome.STANDING
            version = of_nation.get(row.values["draft"]["nation"]) if standing else of_pledge.get(row.target_id)
            if version is not None:
                found[row.pk] = version
        return found

    def touched(self, rows: Sequence[ImportRow]) -> dict[int, str]:
        now = self.versions(rows)
        targets = [row.target_id for row in rows if row.outcome == Outcome.NEW]
        allocated = set(Allocation.objects.filter(pledge__in=targets).values_list("pledge_id", flat=True))
        why = {}
        for row in rows:
            if row.pk not in now:
                why[row.pk] = "It is gone."
            elif now[row.pk] != row.target_version:
                why[row.pk] = f"It was changed since: version {now[row.pk]}, committed as {row.target_version}."
            elif row.outcome == Outcome.NEW and row.target_id in allocated:
                why[row.pk] = "It was allocated since; the allocation would go with it."
        return why

    def put_back_many(self, rows: Sequence[ImportRow]) -> None:
        """All at once: they are new pledges."""
        pledges = Pledge.objects.visible_to(self.by).filter(pk__in=[row.target_id for row in rows])
        for nation in pledges.order_by().values_list("nation", flat=True).distinct():
            demand(self.by, "import_pledges", Pledge(nation_id=nation))
        because(f"Import {self.batch.pk} undone")
        pledges.delete()

    def put_back(self, row: ImportRow) -> None:
        stood: dict[str, Any] = row.before or {}
        if row.outcome == Outcome.STANDING:
            nations.revise(
                row.values["draft"]["nation"],
                stood,
                by=self.by,
                based_on=None,
                why=f"Import {self.batch.pk} undone",
            )
            return
        pledge = Pledge.objects.visible_to(self.by).filter(pk=row.target_id).first()
        if pledge is None:  # chosen although it is gone: it is as it should be
            return
        if row.outcome == Outcome.NEW:
            demand(self.by, "import_pledges", pledge)
            because(f"Import {self.batch.pk} undone")
            pledge.delete()
            return
        before = {name: value for name, value in stood.items() if name != "batch"}
        batch = ImportBatch.objects.filter(pk=stood["batch"]).first() if stood["batch"] else None
        declaring.revise(pledge.pk, _from_json(before) | {"batch": batch}, by=self.by, based_on=None)


class OwnSession(PledgeSession):
    """One go at a file of our own. Where a pledge came from, and under which id, stays."""

    def _stored(self, candidates: Sequence[Candidate]) -> tuple[dict[str, Pledge], dict[str, ImportRow]]:
        found = Pledge.objects.visible_to(self.by).filter(pk__in=[each.values["id"] for each in candidates])
        found = found.filter(operation=self.operation).select_related("capability").prefetch_related("conditions")
        return {str(pledge.pk): pledge for pledge in found}, {}

    def _draft(self, candidate: Candidate, nation: Nation) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """What the row says, as JSON; fields that have no column are left out."""
        values, pledge = candidate.values, self.here[str(candidate.values["id"])]
        said = {name: values[name] for name in COMPARED if name in self.column}
        texts = {name: "" if said[name] is None else said[name] for name in TEXTS if name in said}
        figures = {name: _figure(said[name]) for name in FIGURES if name in said}
        days = {name: self._exact(name, said[name]) for name in DAYS if name in said}
        draft = said | texts | figures | days
        if "capability" in said:
            draft["capability"] = self._capability(said["capability"]).code
        if "notice_days" in said:
            draft["notice_days"] = said["notice_days"] or 0
        if "conditions" in said:
            draft["conditions"] = said["conditions"] or []
        if "tier" in said:
            draft["tier"] = int(TIERS[said["tier"]]) if said["tier"] else pledge.tier
        whole = _as_draft(pledge) | draft
        try:
            check(self._pledge(whole, nation, self._capability(whole["capability"])), unique=False)
        except ValidationError as error:
            name, sentences = next(iter(error.message_dict.items()))
            raise Unfit(name, values.get(name, ""), " ".join(sentences)) from error
        return whole | {"nation": nation.pk, "shown": ""}, []

    def _exact(self, name: str, day: Day | None) -> str | None:
        if day is not None and day.precision != "day":
            raise Unfit(name, day.first, "is no exact day.")
        return day.first.isoformat() if day else None

    def _judge(self, candidate: Candidate, stored: dict[str, Pledge], earlier: dict[str, ImportRow]) -> Judgement:
        pledge = stored.get(candidate.key)
        if pledge is None:
            raise Unfit("id", candidate.key, "There is no pledge of this number that you may see.")
        self.here = stored
        as_it_is = Candidate(candidate.number, candidate.key, candidate.values | {"nation": pledge.nation_id})
        judgement = super()._judge(as_it_is, stored, earlier)
        if judgement.outcome != Outcome.SAME:
            super()._nation({"nation": pledge.nation_id})
        return judgement

    def _nation(self, values: Mapping[str, Any]) -> Nation:
        """An officer's export holds the pledges of other nations too: only a change of one is refused."""
        return self.nations[values["nation"]]

    def _write_changed(self, row: ImportRow) -> Written:
        pledge = lock(Pledge.objects.visible_to(self.by), row.target_id, based_on=row.values["based_on"])
        changes, now = row.values["draft"]["changes"], _as_draft(pledge)
        declaring.revise(pledge.pk, _from_json(changes), by=self.by, based_on=pledge.version)
        return Written(pledge.pk, {"batch": pledge.batch_id, **{name: now[name] for name in changes}})


class StatementSession(PledgeSession):
    """One go at a file of public statements."""

    entry_tier = Tier.PUBLIC  # it was said in public

    def _fits(self, unit: str, capability: Capability) -> bool:
        """The press counts in whatever it likes, so a figure without a unit is no figure."""
        return bool(unit) and super()._fits(unit, capability)

    def _planned(self, stated: Decimal) -> None:
        """Nobody plans with what was said in public."""

    def _status(self, values: Mapping[str, Any], note: list[str]) -> str:
        said = _said(values["status"])
        if said == UNOFFICIAL:
            note.append("Reported, and not officially confirmed.")
        if folded(values["status"]) not in (STATEMENT, UNOFFICIAL):
            note.append(f"Its own word: “{values['status']}”.")
        return Pledge.Status.SIGNALLED

    def _source(self, values: Mapping[str, Any]) -> str:
        source = super()._source(values)
        return f"Unofficial, by {source}" if _said(values["status"]) == UNOFFICIAL and source else source

    def _judge(self, candidate: Candidate, stored: dict[str, Pledge], earlier: dict[str, ImportRow]) -> Judgement:
        word = candidate.values["status"]
        said = _said(word)
        if said is None:
            raise Unfit("status", word, f"“{word}” is no status that is known: say in the mapping what it means.")
        if said not in STANDING:
            return super()._judge(candidate, stored, earlier)
        nation = self._nation(candidate.values)
        if not can(self.by, "keep_nations"):
            raise Unfit("status", word, "It is about the nation's standing, which only planners keep.")
        return self._standing(candidate, nation, STANDING[said], earlier.get(candidate.key))

    def _standing(self, candidate: Candidate, nation: Nation, to: str, last: ImportRow | None) -> Judgement:
        values = candidate.values
        label = Nation.Standing(to).label
        source = f"{values['stated_on'].first.isoformat()}: {values['what']} ({values['status']})"
        source = f"{source[: 498 - len(values['source_url'])]} {values['source_url']}".strip()[:500]
        draft = {
            "nation": nation.pk,
            "standing": to,
            "standing_source": source,
            "stated_on": values["stated_on"].first.isoformat(),
        }
        if last is not None and last.outcome == Outcome.STANDING:
            return Judgement(Outcome.SAME, says=f"{nation.name}: this was taken up before.", draft=draft)
        if nation.standing == to:
            return Judgement(Outcome.SAME, says=f"{nation.name} stands as {label.lower()} already.", draft=draft)
        problems = []
        if "(" in values["status"]:
            text = f"Said as “{values['status']}”, which may not be all it offers. Take it up only if it is."
            problems.append(Problem(candidate.number, self._column("status"), values["status"], text))
        return Judgement(
            Outcome.STANDING,
            says=f"{nation.name}: {values['what']}",
            draft=draft,
            changes=(("Standing", nation.get_standing_display(), label),),
            problems=tuple(problems),
            based_on=nation.version,
            approved=False,
        )


def _said(word: str) -> str | None:
    """What a status word says; what stands in brackets narrows it and does not change it."""
    if word in (STATEMENT, UNOFFICIAL, CONSIDERING, DECLINED):
        return word
    return SAID.get(folded(re.sub(r"\(.*?\)", "", word)))


def _unit(text: str) -> str:
    words = folded(text)
    words = re.sub(r"ies$", "y", words) if words.endswith("ies") else re.sub(r"(?<!s)s$", "", words)
    return SAME_UNIT.get(words, words)


def _figure(number: Decimal | None) -> str | None:
    return None if number is None else f"{number.quantize(Decimal('0.01')).normalize():f}"


def _range(low: Decimal | None, high: Decimal | None) -> str:
    if low is None or high is None:
        known = low if high is None else high
        return "" if known is None else f"{'at least' if high is None else 'up to'} {_figure(known)}"
    return f"{_figure(low)}" if low == high else f"{_figure(low)} to {_figure(high)}"


def _as_draft(pledge: Pledge) -> dict[str, Any]:
    """A pledge as a draft would put it, for comparing and for putting back."""
    return {
        "capability": pledge.capability.code,
        **{name: getattr(pledge, name) for name in ("what", "notice_days", "tier", "source", "source_url", "note")},
        **{name: _figure(getattr(pledge, name)) for name in FIGURES},
        **{name: day.isoformat() if (day := getattr(pledge, name)) else None for name in DAYS},
        "conditions": sorted(condition.pk for condition in pledge.conditions.all()),
    }


def _from_json(draft: Mapping[str, Any]) -> dict[str, Any]:
    """A draft with days and figures as what they are."""
    read = dict(draft)
    for names, of in ((DAYS, date.fromisoformat), (FIGURES, Decimal)):
        for name in names:
            if read.get(name) is not None:
                read[name] = of(read[name])
    return read
