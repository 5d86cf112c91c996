"""A million made-up reports, clustered like real ones: for measuring, and for looking at the pages with many rows.

Everything is invented, from a seed: the same number and seed give the same reports. Like the real lists, most lie around
few places along a line, a few far behind it; days are uneven, the worst one has ten times the mean; the number of
words and the share of empty cells are those of monitors' tables.

    python tests/bench/made_up_reports.py 1000000 --seed 1 --csv reports.csv       # our own CSV, for importing
    python tests/bench/made_up_reports.py 1000000 --seed 1 --database postgresql://OWNER:...@/DATABASE   # straight in

From Python: ``write_csv(path, n, seed)`` and ``load(owner_url, n, seed)`` (sources and parties are made as needed).
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 50_000
DATASET = "made-up"
AFTER_LAST_DAY, DAYS = np.datetime64("2026-11-01"), 365  # before today, so that none lies in the future

# A made-up line of contact: corners (longitude, latitude) through which it runs, roughly where one may be thought of.
LINE = np.array(
    [(36.4, 50.3), (37.6, 49.9), (38.1, 49.1), (38.0, 48.4), (37.5, 47.9), (36.3, 47.6), (35.0, 47.4), (32.7, 46.6)]
)
SOURCES = (
    "made-up-patrol",
    "made-up-camera",
    "made-up-uav",
    "made-up-statement-a",
    "made-up-statement-b",
    "made-up-press",
)
SOURCE_SHARES = (0.24, 0.22, 0.12, 0.18, 0.16, 0.08)
PARTIES = ("made-up-a", "made-up-b")
KINDS = ("explosion", "burst", "shot", "projectile", "mortar", "artillery", "fpv_drone", "long_range_drone", "missile",
         "airstrike", "facility_strike", "within_line", "overflight", "denial", "not_stated")  # fmt: skip
KIND_SHARES = (0.38, 0.17, 0.09, 0.07, 0.05, 0.07, 0.06, 0.02, 0.01, 0.01, 0.01, 0.02, 0.02, 0.01, 0.01)
UNITS = {"explosion": "explosions", "burst": "bursts", "shot": "shots", "projectile": "projectiles"}
WEAPONS = ("", "N/K", "120mm mortar", "152mm artillery", "small arms", "HMG", "AGL", "IFV cannon (BMP-2)", "MLRS")
WEAPON_SHARES = (0.46, 0.24, 0.06, 0.06, 0.06, 0.05, 0.03, 0.03, 0.01)
COUNTS = ("", "1", "2", "3", "4", "5", "7", "11", "30-35", "about 25", "almost 200", "several", "N/K", "71", "8-10")
COUNT_SHARES = (0.12, 0.24, 0.16, 0.1, 0.07, 0.06, 0.05, 0.04, 0.03, 0.03, 0.01, 0.03, 0.03, 0.01, 0.02)
WORDS = ("Heard from the position", "Recorded by the camera", "Seen by the patrol", "As stated to the press",
         "Undetermined, assessed as outgoing", "Assessed as incoming", "Impact not seen", "Smoke seen after")  # fmt: skip


@dataclass(frozen=True)
class Clusters:
    """Where reports gather: degrees, how far they scatter (degrees) and what share of all each has."""

    longitude: np.ndarray
    latitude: np.ndarray
    scatter: np.ndarray
    share: np.ndarray


def _clusters(rng: np.random.Generator) -> Clusters:
    along = np.sort(rng.uniform(0, len(LINE) - 1, 160))
    corner = along.astype(int)
    near = LINE[corner] + (LINE[np.minimum(corner + 1, len(LINE) - 1)] - LINE[corner]) * (along - corner)[:, None]
    near += rng.normal(0, 0.06, near.shape)
    far = np.column_stack([rng.uniform(23, 36, 40), rng.uniform(46.5, 51.3, 40)])
    share = np.concatenate(
        [rng.permutation(1 / np.arange(1, 161) ** 1.1), rng.permutation(1 / np.arange(1, 41)) * 0.08]
    )
    points = np.concatenate([near, far])
    return Clusters(points[:, 0], points[:, 1], rng.uniform(0.01, 0.08, len(points)), share / share.sum())


def chunks(
    n: int, seed: int, days: int = DAYS, until: np.datetime64 = AFTER_LAST_DAY
) -> Iterator[dict[str, np.ndarray]]:
    """Yield n reports of so many days before ``until``, at most AT_ONCE at a time, as arrays by name.

    Texts are arrays of objects.
    """
    rng = np.random.default_rng(seed)
    clusters = _clusters(rng)
    shares = rng.lognormal(0, 0.5, days)
    shares[rng.integers(days)] = shares.mean() * 10
    shares /= shares.sum()
    hours = 1 + 0.6 * np.sin((np.arange(24) - 14) / 24 * 2 * np.pi)
    for start in range(0, n, AT_ONCE):
        size = min(AT_ONCE, n - start)
        yield _chunk(rng, clusters, until, shares, hours / hours.sum(), start, size)


def _chunk(
    rng, clusters: Clusters, until: np.datetime64, shares: np.ndarray, hours: np.ndarray, start: int, size: int
) -> dict[str, np.ndarray]:
    cluster = rng.choice(len(clusters.share), size, p=clusters.share)
    at = until - len(shares) + rng.choice(len(shares), size, p=shares)
    at = at.astype("datetime64[m]") + rng.choice(24, size, p=hours) * 60 + rng.integers(0, 60, size)
    is_span = rng.random(size) < 0.2
    kind = np.array(KINDS, object)[rng.choice(len(KINDS), size, p=KIND_SHARES)]
    source = np.array(SOURCES, object)[rng.choice(len(SOURCES), size, p=SOURCE_SHARES)]
    accused = np.array(["", *PARTIES], object)[rng.choice(3, size, p=(0.3, 0.4, 0.3))]
    accuser = np.where(
        source == "made-up-statement-a", PARTIES[0], np.where(source == "made-up-statement-b", PARTIES[1], "")
    )
    count = np.array(COUNTS, object)[rng.choice(len(COUNTS), size, p=COUNT_SHARES)]
    words = np.array(WORDS, object)[rng.integers(0, len(WORDS), (2, size))]
    number = np.arange(start, start + size)
    casualties = rng.choice(["", "", "", "", "", "", "", "", "0", "1", "2"], (2, size)).astype(object)
    return {
        "external_id": np.char.add("M", np.char.zfill(number.astype(str), 8)).astype(object),
        "occurred_from": at,
        "occurred_until": np.where(is_span, at + rng.integers(1, 40, size), at),
        "kind": kind,
        "latitude": np.round(clusters.latitude[cluster] + rng.normal(0, 1, size) * clusters.scatter[cluster], 5),
        "longitude": np.round(clusters.longitude[cluster] + rng.normal(0, 1.5, size) * clusters.scatter[cluster], 5),
        "place_precision_m": rng.choice(
            [50, 200, 500, 1000, 2500, 5000, 15000], size, p=(0.1, 0.2, 0.3, 0.2, 0.12, 0.06, 0.02)
        ),
        "place_name": np.char.add("Place ", cluster.astype(str)).astype(object),
        "source": source,
        "accused": accused,
        "accuser": accuser.astype(object),
        "weapon": np.array(WEAPONS, object)[rng.choice(len(WEAPONS), size, p=WEAPON_SHARES)],
        "count": count,
        "means": np.array(["", "heard", "saw", "recorded", "told"], object)[rng.integers(0, 5, size)],
        "reliability": np.array(["", *"ABCDEF"], object)[rng.integers(0, 7, size)],
        "credibility": np.array(["", *"123456"], object)[rng.integers(0, 7, size)],
        "facility_class": np.where(kind == "facility_strike", "power", "").astype(object),
        "killed": casualties[0],
        "injured": casualties[1],
        "narrative": words[0] + "; " + words[1] + np.char.add("; entry ", number.astype(str)).astype(object),
    }


def write_csv(path: Path, n: int, seed: int = 1) -> None:
    """Write n reports as our own CSV."""
    writer = None
    for chunk in chunks(n, seed):
        columns = {name: pa.array(_text(name, values), pa.string()) for name, values in chunk.items()}
        columns["occurred_until"] = pc.if_else(
            pc.equal(columns["occurred_until"], columns["occurred_from"]), "", columns["occurred_until"]
        )
        table = pa.table(columns)
        writer = writer or pyarrow.csv.CSVWriter(
            str(path), table.schema, write_options=pyarrow.csv.WriteOptions(quoting_style="needed")
        )
        writer.write_table(table)
    if writer:
        writer.close()


def _text(name: str, values: np.ndarray) -> np.ndarray:
    if np.issubdtype(values.dtype, np.datetime64):
        return np.char.add(values.astype(str), "Z").astype(object)
    return values.astype(str).astype(object) if values.dtype != object else values


def load(
    owner_url: str,
    n: int,
    seed: int = 1,
    *,
    dataset: str = DATASET,
    days: int = DAYS,
    until: np.datetime64 = AFTER_LAST_DAY,
) -> int:
    """COPY n finished reports straight into the table, past row-level security, and return how many there are now.

    They lie in so many ``days`` before ``until``.

    ``owner_url`` is the address of the database for its owner. Needs Django set up; sectors that there are by now are
    taken into account.
    """
    from coalition.access import SYSTEM, acting_as  # noqa: PLC0415 — a program that may also only write a CSV
    from coalition.models import Sector  # noqa: PLC0415
    from monitoring.placing import Areas  # noqa: PLC0415

    with acting_as(SYSTEM):
        sources, parties = ensure_names()
        areas = Areas(Sector.objects.all())
    with psycopg.connect(owner_url) as connection, connection.cursor() as cursor:
        for chunk in chunks(n, seed, days, until):
            copy(cursor, finished(chunk, sources, parties, areas, dataset))
        found = cursor.execute("SELECT count(*) FROM monitoring_report").fetchone()
    return found[0]


def ensure_names() -> tuple[dict[str, int], dict[str, int]]:
    """Add the made-up sources and parties that are missing; return the ids of all by code. Call while acting."""
    from monitoring.models import Party, Source  # noqa: PLC0415

    parties = {}
    for code in PARTIES:
        name = f"Made-up party {code[-1].upper()}"
        parties[code] = Party.objects.get_or_create(code=code, defaults={"name": name})[0].pk
    sources = {}
    for code in SOURCES:
        fields = {"name": code.replace("-", " ").capitalize(), "illustrative": True, "source_class": "monitors"}
        if "statement" in code:
            fields |= {"source_class": "party", "kind": "statement", "party_id": parties[f"made-up-{code[-1]}"]}
        elif code.endswith("press"):
            fields |= {"source_class": "media", "kind": "press"}
        sources[code] = Source.objects.get_or_create(code=code, defaults=fields)[0].pk
    return sources, parties


def finished(chunk: dict[str, np.ndarray], sources: dict, parties: dict, areas, dataset: str) -> pa.Table:
    """Return a chunk as rows of monitoring_report: what an import of the CSV comes to, read by shorter ways."""
    from monitoring import statements  # noqa: PLC0415

    size = len(chunk["kind"])
    counts = [statements.read_count(text) for text in chunk["count"]]
    said = np.array([bool(count.text) for count in counts])
    units = np.array([statements.unit_of(kind) for kind in chunk["kind"]], object)
    same = chunk["occurred_from"] == chunk["occurred_until"]
    precision = chunk["place_precision_m"].astype(float)
    start, until = (
        pa.array(chunk[f"occurred_{end}"].astype("datetime64[us]"), pa.timestamp("us", "UTC"))
        for end in ("from", "until")
    )
    number = lambda name: pa.array([int(text) if text else None for text in chunk[name]], pa.int32())  # noqa: E731
    id_of = lambda name, ids: pa.array([ids.get(code) for code in chunk[name]], pa.int64())  # noqa: E731
    columns = {
        "version": np.ones(size, int),
        "reference": np.full(size, "", object),
        "source_id": id_of("source", sources),
        "dataset": np.full(size, dataset, object),
        "external_id": chunk["external_id"],
        "occurred_from": start,
        "occurred_until": until,
        "occurred_on": pc.assume_timezone(
            pc.local_timestamp(start.cast(pa.timestamp("us", "Europe/Kyiv"))), "UTC"
        ).cast(pa.date32()),
        "time_precision": np.where(same, "exact", "span").astype(object),
        "kind": chunk["kind"],
        "weapon": np.where(chunk["weapon"] == "N/K", "", chunk["weapon"]).astype(object),
        "count_text": chunk["count"],
        "count_low": pa.array([count.low for count in counts], pa.int32()),
        "count_high": pa.array([count.high for count in counts], pa.int32()),
        "count_unit": np.where(said, units, "").astype(object),
        "means": chunk["means"],
        "reliability": np.where(chunk["reliability"] == "", "F", chunk["reliability"]).astype(object),
        "credibility": np.where(chunk["credibility"] == "", "6", chunk["credibility"]).astype(int),
        "accuser_id": id_of("accuser", parties),
        "accused_id": id_of("accused", parties),
        "facility_class": chunk["facility_class"],
        "killed": number("killed"),
        "injured": number("injured"),
        "narrative": chunk["narrative"],
        "source_url": np.full(size, "", object),
        "status": np.full(size, "received", object),
        "tier": np.full(size, 2),
        "illustrative": np.ones(size, bool),
        "place_name": chunk["place_name"],
        "longitude": chunk["longitude"],
        "latitude": chunk["latitude"],
        "place_precision_m": precision,
        "sensitive": np.zeros(size, bool),
        **areas.placed(chunk["longitude"], chunk["latitude"], precision, np.zeros(size, bool)),
    }
    return pa.table(
        {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    )


def copy(cursor: psycopg.Cursor, table: pa.Table, into: str = "monitoring_report") -> None:
    """COPY rows into a table that has columns of these names."""
    out = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(include_header=False))
    names = ", ".join(table.column_names)
    with cursor.copy(f"COPY {into} ({names}) FROM STDIN (FORMAT csv)") as pipe:
        pipe.write(out.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--database", help="address for the owner; SECRET_KEY and DATABASE_URL as for manage.py")
    asked = parser.parse_args()
    if asked.csv:
        write_csv(asked.csv, asked.n, asked.seed)
    if asked.database:
        import os  # noqa: PLC0415

        import django  # noqa: PLC0415

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coalition.settings")
        os.environ["DATABASE_URL"] = asked.database
        django.setup()
        print(f"{load(asked.database, asked.n, asked.seed):,} reports")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
