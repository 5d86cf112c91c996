"""What a change of a report, an incident or a source makes stale: counts and coverage, marked once per key."""

from coalition.bookkeeping import marks_stale

COVERED_TOGETHER = 100  # ids whose coverage is worked out together: one mark for so many rows of an import


# What a change makes stale in the counts: see ``monitoring.rollups`` for the keys. A statement that changes many rows of
# a day marks the whole day. An incident and its reports are marked by the incident's id and looked up by the worker,
# who sees all of them: the writer need not.
WHOLE_DAY_FROM = 20
COUNTS_OF_REPORTS = marks_stale(
    "counts",
    f"""
    SELECT found.key FROM (
        SELECT to_char(occurred_on, 'YYYY-MM-DD') AS day, count(*) AS changed,
            array_agg(coalesce(cell, 0)) || array_agg(coalesce(coalition_cell, 0)) AS cells,
            array_agg(incident_id) FILTER (WHERE incident_id IS NOT NULL) AS incidents
        FROM changed_rows GROUP BY occurred_on
    ) AS days
    CROSS JOIN LATERAL (
        SELECT days.day WHERE days.changed >= {WHOLE_DAY_FROM}
        UNION ALL
        SELECT days.day || ':' || cell FROM unnest(days.cells) AS cell WHERE days.changed < {WHOLE_DAY_FROM}
        UNION ALL
        SELECT 'incident:' || incident FROM unnest(days.incidents) AS incident
    ) AS found (key)
    """,
)


COUNTS_OF_INCIDENTS = marks_stale(
    "counts",
    """
    SELECT found.key FROM changed_rows CROSS JOIN LATERAL (VALUES
        (to_char(occurred_on, 'YYYY-MM-DD') || ':' || coalesce(cell, 0)),
        (to_char(occurred_on, 'YYYY-MM-DD') || ':' || coalesce(coalition_cell, 0)),
        ('incident:' || id)
    ) AS found (key)
    """,
)


COUNTS_OF_SOURCES = marks_stale("counts", "SELECT 'source:' || id FROM changed_rows")


# What a change makes stale in the answers of ``monitoring.coverage``: blocks of neighbouring ids.
SEEN_PLACE = (  # what is seen of a place by any tier; sectors, zones and cells follow from it
    "longitude",
    "latitude",
    "place_precision_m",
    "sensitive",
    "coalition_longitude",
    "coalition_latitude",
    "public_longitude",
    "public_latitude",
)


DEPENDS_ON = ("kind", "facility_class", "accused_id", "occurred_from", "occurred_until", "tier", *SEEN_PLACE)
COVERAGE_OF_REPORTS = marks_stale(
    "coverage",
    f"SELECT 'reports:' || block FROM (SELECT DISTINCT id / {COVERED_TOGETHER} AS block FROM changed_rows) AS blocks",
    heeds=DEPENDS_ON,
)


COVERAGE_OF_INCIDENTS = marks_stale(
    "coverage",
    f"SELECT 'incidents:' || block FROM (SELECT DISTINCT id / {COVERED_TOGETHER} AS block FROM changed_rows) AS blocks",
    heeds=(*DEPENDS_ON, "attribution", "attributed_to_id"),
)
