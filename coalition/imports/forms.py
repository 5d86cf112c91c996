"""The forms of an import: the file, and what its columns mean."""

from collections.abc import Iterator

from django import forms
from django.core.validators import validate_slug

from coalition.imports import staging
from coalition.imports.mapping import Mapping
from coalition.imports.profiles import Profile, Worded
from coalition.models import ImportBatch

LEFT_OUT = [("", "leave out")]
AS_IT_IS = [("", "as it stands")]


class UploadForm(forms.Form):
    """A file and what it is."""

    profile = forms.ChoiceField(label="What it holds", widget=forms.RadioSelect)
    file = forms.FileField(help_text="CSV, tab-separated text, .xlsx or GeoJSON", max_length=255)
    dataset = forms.CharField(
        label="Data set",
        required=False,
        max_length=60,
        validators=[validate_slug],
        help_text="Rows keep their id within it: send the next edition under the same name. Empty: the usual one.",
    )

    def __init__(self, *args, kinds: list[Profile], **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["profile"].choices = [(kind.name, f"{kind.label}. {kind.lead}") for kind in kinds]
        self.fields["profile"].initial = kinds[0].name if kinds else None


class MappingForm(forms.Form):
    """Which column is which field, what every row has in common, and what the file's own words mean.

    The words shown are those of the columns as they are mapped at the moment; another column needs another look.
    """

    date_order = forms.ChoiceField(
        label="03/04/2025 means",
        required=False,
        choices=[("", "not known: refuse it"), ("dmy", "3 April"), ("mdy", "March 4")],
    )
    time_zone = forms.CharField(label="Time zone of the file", max_length=60)
    decimal_comma = forms.BooleanField(label="Decimals are written with a comma (1,5)", required=False)

    def __init__(self, *args, batch: ImportBatch, profile: Profile, start: Mapping, by, **kwargs):
        super().__init__(*args, **kwargs)
        self.batch, self.profile, self.start = batch, profile, start
        self.initial |= {
            "date_order": start.date_order,
            "time_zone": start.time_zone,
            "decimal_comma": start.decimal_comma,
        }
        choices = LEFT_OUT + [(each.name, f"{each.label}{' *' if each.required else ''}") for each in profile.fields]
        for place, column in enumerate(batch.header):
            self.fields[f"column-{place}"] = forms.ChoiceField(
                label=column, choices=choices, required=False, initial=start.columns.get(column, "")
            )
        for each in profile.fields:
            field = forms.ChoiceField if each.choices else forms.CharField
            asked = {"choices": [("", ""), *each.choices]} if each.choices else {"max_length": 300}
            self.fields[f"constant-{each.name}"] = field(
                label=each.label, required=False, initial=start.constants.get(each.name, ""), **asked
            )
        # With what was sent, so that a form that comes back shows the words of the columns now chosen.
        self.asked: list[tuple[Worded, list[str]]] = []
        now = self._columns_and_constants() if self.is_bound else start
        for worded in profile.worded(batch, by=by):
            words = staging.words_of(batch, now, worded)
            self.asked.append((worded, words))
            for place, word in enumerate(words):
                self.fields[f"word-{worded.field}-{place}"] = forms.ChoiceField(
                    label=word,
                    required=False,
                    choices=AS_IT_IS + list(worded.choices),
                    initial=_said_before(word, start.words.get(worded.field, {})),
                )

    def _columns_and_constants(self) -> Mapping:
        """What is chosen so far, checked or not: for finding the words to ask about."""
        header = self.batch.header
        columns = {column: self.data.get(f"column-{place}", "") for place, column in enumerate(header)}
        names = [each.name for each in self.profile.fields]
        constants = {name: self.data.get(f"constant-{name}", "").strip() for name in names}
        return Mapping(
            columns={column: to for column, to in columns.items() if to},
            constants={name: text for name, text in constants.items() if text},
        )

    def chosen(self) -> Mapping:
        """Return the mapping of a valid form. Raise ValueError for a time zone there is not."""
        said = self.cleaned_data
        columns = {column: said[f"column-{place}"] for place, column in enumerate(self.batch.header)}
        constants = {each.name: said[f"constant-{each.name}"].strip() for each in self.profile.fields}
        words = {
            worded.field: {
                word: to for place, word in enumerate(words) if (to := said.get(f"word-{worded.field}-{place}"))
            }
            for worded, words in self.asked
        }
        plain = Mapping(
            columns={column: to for column, to in columns.items() if to},
            constants={name: text for name, text in constants.items() if text},
            words={field: translated for field, translated in words.items() if translated},
            date_order=said["date_order"],
            decimal_comma=said["decimal_comma"],
            time_zone=said["time_zone"],
        )
        return Mapping.from_json(plain.to_json())

    def columns(self) -> Iterator[tuple[forms.BoundField, list[str]]]:
        """Yield each column's field with the first cells of that column."""
        sample = self.batch.summary.get("sample", [])
        for place, _ in enumerate(self.batch.header):
            cells = [row[place + 1] for row in sample if len(row) > place + 1 and row[place + 1].strip()]
            yield self[f"column-{place}"], list(dict.fromkeys(cells))[:3]

    def constants(self) -> list[forms.BoundField]:
        """Return the fields for one value for all rows."""
        return [self[f"constant-{each.name}"] for each in self.profile.fields]

    def constants_set(self) -> bool:
        """Return True when one of them has a value, so that they are shown open."""
        return any(field.value() for field in self.constants())

    def words(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Return the words to translate: the field's label and one bound field for each word."""
        labels = {each.name: each.label for each in self.profile.fields}
        return [
            (labels[worded.field], [self[f"word-{worded.field}-{place}"] for place, _ in enumerate(words)])
            for worded, words in self.asked
            if words
        ]


def _said_before(word: str, before: dict[str, str]) -> str:
    return next((to for known, to in before.items() if known.strip().casefold() == word.strip().casefold()), "")
