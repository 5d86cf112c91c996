"""Georeferenced events of the Uppsala Conflict Data Program (UCDP GED), 49 columns.

Source of the layout and of the precisions: UCDP GED Codebook. Seen in UTF-8 and windows-1252, with ISO dates, ISO with T
and "1/27/2014 12:00:00 AM" (the month first); one release came without a header row.
"""

from coalition.access import Tier
from coalition.imports.cells import Unclear
from monitoring import statements
from monitoring.importing import ReportProfile
from monitoring.kinds import Kind
from monitoring.layouts import OwnSource, called, first_address
from monitoring.understanding import Knowing, Read, plainly, read_days

COLUMNS = (
    "id", "relid", "year", "active_year", "code_status", "type_of_violence", "conflict_dset_id", "conflict_new_id",
    "conflict_name", "dyad_dset_id", "dyad_new_id", "dyad_name", "side_a_dset_id", "side_a_new_id", "side_a",
    "side_b_dset_id", "side_b_new_id", "side_b", "number_of_sources", "source_article", "source_office", "source_date",
    "source_headline", "source_original", "where_prec", "where_coordinates", "where_description", "adm_1", "adm_2",
    "latitude", "longitude", "geom_wkt", "priogrid_gid", "country", "country_id", "region", "event_clarity", "date_prec",
    "date_start", "date_end", "deaths_a", "deaths_b", "deaths_civilians", "deaths_unknown", "best", "high", "low", "gwnoa",
    "gwnob",
)  # fmt: skip
# The codebook's where_prec: 1 the exact place, 2 within about 25 km, 3 its district, 4 its province, 5 a line or a fuzzy
# polygon, 6 the country, 7 beyond it. The metres of all but 2 are ours.
METRES = {"1": 5_000.0, "2": 25_000.0, "3": 50_000.0, "4": 150_000.0, "5": 150_000.0, "6": 600_000.0, "7": 2_000_000.0}
ONE_SIDED = "3"


def read_kind(knowing: Knowing, type_of_violence: str) -> str:
    """Fighting between sides (1, 2) names no means; one-sided violence (3) is against civilians."""
    if type_of_violence not in ("", "1", "2", ONE_SIDED):
        raise Unclear("is none of UCDP's types of violence 1, 2 and 3.")
    return (Kind.CIVILIAN_ATTACK if type_of_violence == ONE_SIDED else Kind.NOT_STATED).value


def read_precision(knowing: Knowing, code: str) -> float | None:
    if code and code not in METRES:
        raise Unclear("is none of UCDP's precisions 1 to 7.")
    return METRES.get(code)


def read_narrative(knowing: Knowing, headline: str, where: str, side_a: str, side_b: str) -> str:
    sides = " and ".join(filter(None, (side_a, side_b)))
    return "\n".join(filter(None, (headline, where, sides and f"Sides as coded, in no order of blame: {sides}")))[:8000]


class UCDP(ReportProfile):
    """UCDP georeferenced events."""

    name = "ucdp-ged"
    label = "UCDP GED"
    lead = "Events as UCDP publishes them (49 columns, also without a header); nobody is accused."
    dataset = "ucdp-ged"
    tier = Tier.PUBLIC
    own_source = OwnSource("ucdp-ged", "UCDP GED", address="https://ucdp.uu.se", licence="CC BY 4.0")
    date_order = "mdy"
    id_field = "id"
    columns = COLUMNS
    fields = called(*COLUMNS, required=("id", "date_start"))
    reads = {
        "external_id": Read(("id",)),
        "reference": Read(("relid",)),
        "when": Read(("date_start", "date_end"), read_days),
        "kind": Read(("type_of_violence",), read_kind),
        "point": Read(("longitude", "latitude")),
        "precision": Read(("where_prec",), read_precision),
        "place_name": Read(("where_coordinates",)),
        "killed": Read(("best",), plainly(statements.read_people)),
        "narrative": Read(("source_headline", "where_description", "side_a", "side_b"), read_narrative),
        "source_url": Read(
            ("source_original",), lambda knowing, text: first_address(knowing, text) if "://" in text else ""
        ),
    }
