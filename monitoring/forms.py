"""The form of a report: it reads and explains input, shows what is doubted, and hands on what was changed."""

from django import forms

from coalition.access import Tier, actor_of
from coalition.forms import DayInput, TierField
from monitoring import filing
from monitoring.kinds import KINDS_OF, CountUnit, Facility, Kind
from monitoring.models import LARGEST, Party, Report, Source
from monitoring.seeing import seen_at
from monitoring.statements import PARTS

NOT_SAID = [("", "Not stated")]
NOT_OF_THE_REPORT = {"version", "idempotency_key", "confirmed", "files", "why", "dms", "mgrs"}
SPELLINGS = ("place", "dms", "mgrs")  # of the same place; the first that was typed anew is read
KINDS = [(family.label, [(kind.value, kind.label) for kind in kinds]) for family, kinds in KINDS_OF.items()]
METRES = [10, 100, 500, 1000, 3000, 5000, 10_000]


class Files(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files."""

    widget = Files

    def clean(self, data, initial=None):
        return [super(FilesField, self).clean(one, initial) for one in data or []]


def place_input(name: str, **attrs) -> forms.TextInput:
    """One spelling of the place; the map's script fills the others in."""
    return forms.TextInput(attrs={"data-place": name, "autocomplete": "off", "spellcheck": "false", **attrs})


def count(**kwargs) -> forms.IntegerField:
    widget = forms.NumberInput(attrs={"inputmode": "numeric"})
    return forms.IntegerField(min_value=0, max_value=LARGEST, required=False, widget=widget, **kwargs)


def party(label: str) -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        queryset=Party.objects.order_by("name"), required=False, empty_label="Not stated", label=label
    )


class ReportForm(forms.Form):
    """A report, as a monitor files it in under a minute: the first fields are enough."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    idempotency_key = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)
    confirmed = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="It is right as it stands"
    )
    source = forms.ModelChoiceField(queryset=Source.objects.order_by("source_class", "name"), empty_label="Choose")
    kind = forms.ChoiceField(choices=KINDS, initial=Kind.NOT_STATED, label="What happened")
    occurred_on = forms.DateField(widget=DayInput(), label="Day", help_text="As it was stated")
    time = forms.CharField(
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"list": "times-of-day", "autocomplete": "off", "placeholder": "14:30"}),
        help_text="14:30, 22:30-02:15, night. Empty: some time that day",
    )
    zone = forms.ChoiceField(required=False, label="Time is in")
    place = forms.CharField(
        required=False,
        max_length=100,
        widget=place_input("degrees", placeholder="48.4567, 35.2345"),
        label="Degrees",
        help_text="Or click the map. Empty: not known",
    )
    dms = forms.CharField(
        required=False, max_length=100, widget=place_input("dms", placeholder="48°27′24″N 35°14′04″E"), label="Or DMS"
    )
    mgrs = forms.CharField(
        required=False, max_length=100, widget=place_input("mgrs", placeholder="36U XU 6523 6937"), label="Or MGRS"
    )
    place_name = forms.CharField(
        required=False,
        max_length=300,
        widget=place_input("name"),
        label="Place name",
        help_text="As the source called it",
    )
    place_precision_m = forms.FloatField(
        required=False,
        widget=forms.NumberInput(
            attrs={"list": "metres", "step": "any", "min": 0, "inputmode": "decimal", "data-place": "precision"}
        ),
        label="Within how many metres",
        help_text="Empty: as exact as it was typed",
    )
    count_text = forms.CharField(
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"placeholder": "30-35"}),
        label="How many, as said",
        help_text="71, 30-35, several. Empty: unknown, which is not zero",
    )
    count_unit = forms.ChoiceField(
        required=False, choices=[("", "What the kind suggests"), *CountUnit.choices], label="Counted in"
    )
    accused = party("Accused")
    weapon = forms.CharField(required=False, max_length=120)
    narrative = forms.CharField(required=False, max_length=8000, widget=forms.Textarea(attrs={"rows": 4}))
    files = FilesField(required=False, label="Files", help_text="Photos, film, sound, PDF, text or ZIP; 50 MB each")
    reliability = forms.ChoiceField(
        required=False, choices=[("", "The source’s usual one"), *Source.Reliability.choices]
    )
    credibility = forms.TypedChoiceField(
        choices=Report.Credibility.choices, coerce=int, initial=Report.Credibility.CANNOT_BE_JUDGED
    )
    tier = TierField(help_text="Who may see it")
    sensitive = forms.BooleanField(
        required=False,
        label="Sensitive place",
        help_text="Only planners see it exactly: the coalition a 1 km grid, the public the middle of a cell",
    )
    last_on = forms.DateField(
        required=False, widget=DayInput(), label="Last day", help_text="Where it is known only within some days"
    )
    count_low = count(label="At least")
    count_high = count(label="At most")
    accuser = party("Accuser")
    means = forms.ChoiceField(required=False, choices=NOT_SAID + Report.Means.choices, label="Means of observation")
    facility_class = forms.ChoiceField(required=False, choices=NOT_SAID + Facility.choices, label="Facility hit")
    killed = count(help_text="Empty: unknown")
    injured = count(help_text="Empty: unknown")
    reference = forms.CharField(required=False, max_length=60, help_text="The source’s own number for it")
    source_url = forms.CharField(required=False, max_length=2000, label="Address of the source")
    why = forms.CharField(required=False, max_length=1000, label="Why it is changed")

    FIRST = ("source", "kind", "occurred_on", "time", "zone")
    WHERE = ("place_name", "place", "dms", "mgrs", "place_precision_m")
    HOW_MANY = ("count_text", "count_unit", "accused", "weapon")
    HOW_SURE = ("reliability", "credibility", "tier")
    MORE = (
        "last_on",
        "count_low",
        "count_high",
        "accuser",
        "means",
        "facility_class",
        "killed",
        "injured",
        "reference",
        "source_url",
    )

    def __init__(self, *args, user, report: Report | None = None, **kwargs):
        self.report = report
        if report is not None:
            kwargs["initial"] = initial_of(report, user) | kwargs.get("initial", {})
        super().__init__(*args, **kwargs)
        home = filing.zone_of_today().key
        self.fields["zone"].choices = [("", f"Local time ({home})"), ("UTC", "UTC")]
        self.fields["tier"].choices = [
            (tier.value, tier.label.capitalize()) for tier in Tier if tier <= actor_of(user).tier
        ]
        if report is None:
            del self.fields["why"]
        else:
            del self.fields["files"]
            self.fields["version"].initial = report.version
        # What was asked for the last time may be confirmed, and nothing else is looked at.
        asked = self.data.getlist("confirmed") if hasattr(self.data, "getlist") else []
        self.fields["confirmed"].choices = [(code, code) for code in asked[:10]]

    def ask(self, doubtful: filing.Doubtful) -> None:
        """Show what is doubted, each with a tick that confirms it."""
        already = [(code, "Confirmed") for code, _ in self.fields["confirmed"].choices]
        asked = [(doubt.code, doubt.sentence) for doubt in doubtful.doubts]
        self.fields["confirmed"].choices = [*already, *asked]
        self.add_error("confirmed", "This may be a slip. Correct it above, or confirm it here and send again.")

    def sections(self) -> dict[str, list[forms.BoundField]]:
        """Return the fields of each part of the page, in order."""
        parts = ("FIRST", "WHERE", "HOW_MANY", "HOW_SURE", "MORE")
        return {part.lower(): [self[name] for name in getattr(self, part)] for part in parts}

    def draft(self) -> dict:
        """Return what ``filing`` takes: all fields of a new report, of a kept one those that were changed."""
        names = [name for name in self.cleaned_data if name not in NOT_OF_THE_REPORT]
        typed = next((name for name in SPELLINGS if name in self.changed_data and self.cleaned_data[name]), "place")
        if self.report is not None:
            names = [name for name in names if name in self.changed_data]
            if typed != "place":
                names.append("place")
            if "zone" in names:  # the same words in another zone are another time
                names.append("time")
        return {name: self.cleaned_data[typed if name == "place" else name] for name in names}


def initial_of(report: Report, user) -> dict:
    """Return what the form shows of a report, its place as this user may see it."""
    seen = seen_at(report, user)
    said = filing.as_stated(report, filing.zone_of_today())
    plain = (
        "kind",
        "count_text",
        "count_low",
        "count_high",
        "count_unit",
        "weapon",
        "narrative",
        "reliability",
        "credibility",
        "tier",
        "sensitive",
        "means",
        "facility_class",
        "killed",
        "injured",
        "reference",
        "source_url",
        "source",
        "accuser",
        "accused",
    )
    return {name: getattr(report, name) for name in plain} | {
        "occurred_on": said["occurred_on"],
        "last_on": said["last_on"],
        "time": said["time"] or "",
        "zone": "",
        "place": seen.degrees,
        "dms": seen.dms,
        "mgrs": seen.mgrs,
        "place_name": seen.name,
        "place_precision_m": report.place_precision_m,
    }


TIMES_OF_DAY = list(PARTS)
