"""What kind of thing was reported? The words that reports, agreements and filters share, and the families they form."""

from django.db.models import TextChoices


class Family(TextChoices):
    FIRE = "fire", "Fire"
    GROUND = "ground", "Ground"
    WEAPONS = "weapons", "Weapons"
    AIR = "air", "Air and electronic"
    INFRASTRUCTURE = "infrastructure", "Infrastructure"
    CIVILIAN = "civilian", "Civilian"
    MONITORS = "monitors", "Monitors"
    OTHER = "other", "Other"


class Kind(TextChoices):
    """What happened. The order is the order in lists; the family of each is in ``FAMILY_OF``."""

    EXPLOSION = "explosion", "Explosion"
    BURST = "burst", "Burst"
    SHOT = "shot", "Shot"
    PROJECTILE = "projectile", "Projectile in flight"
    MUZZLE_FLASH = "muzzle_flash", "Muzzle flash"
    FLARE = "flare", "Illumination flare"
    SMALL_ARMS = "small_arms", "Small-arms fire"
    MORTAR = "mortar", "Mortar fire"
    ARTILLERY = "artillery", "Artillery fire"
    MLRS = "mlrs", "Multiple-launch rockets"
    TANK = "tank", "Tank fire"
    MISSILE = "missile", "Missile strike"
    FPV_DRONE = "fpv_drone", "FPV drone"
    LONG_RANGE_DRONE = "long_range_drone", "Long-range drone"
    AIRSTRIKE = "airstrike", "Airstrike"
    STRIKE = "strike", "Strike of unknown means"
    MINE = "mine", "Mine or booby trap"

    ASSAULT = "assault", "Assault"
    ADVANCE = "advance", "Advance"
    NEW_POSITION = "new_position", "New position"
    MINELAYING = "minelaying", "Minelaying"

    WITHIN_LINE = "within_line", "Weapons inside a withdrawal line"
    OUTSIDE_STORAGE = "outside_storage", "Weapons outside storage"

    OVERFLIGHT = "overflight", "Overflight"
    JAMMING = "jamming", "Jamming"

    FACILITY_STRIKE = "facility_strike", "Strike on a facility"

    CIVILIAN_ATTACK = "civilian_attack", "Attack on civilians"
    ABDUCTION = "abduction", "Abduction"
    AID_BLOCKED = "aid_blocked", "Aid blocked"

    FIRE_AT_MONITORS = "fire_at_monitors", "Fire at monitors"
    DENIAL = "denial", "Monitors denied access"
    DELAY = "delay", "Monitors delayed"
    MONITOR_JAMMING = "monitor_jamming", "Monitors' equipment jammed"
    SEIZURE = "seizure", "Monitors' equipment seized"

    PROCEDURE = "procedure", "Breach of procedure"
    OTHER = "other", "Other"
    NOT_STATED = "not_stated", "Not stated"


KINDS_OF: dict[Family, tuple[Kind, ...]] = {
    Family.FIRE: (
        Kind.EXPLOSION,
        Kind.BURST,
        Kind.SHOT,
        Kind.PROJECTILE,
        Kind.MUZZLE_FLASH,
        Kind.FLARE,
        Kind.SMALL_ARMS,
        Kind.MORTAR,
        Kind.ARTILLERY,
        Kind.MLRS,
        Kind.TANK,
        Kind.MISSILE,
        Kind.FPV_DRONE,
        Kind.LONG_RANGE_DRONE,
        Kind.AIRSTRIKE,
        Kind.STRIKE,
        Kind.MINE,
    ),
    Family.GROUND: (Kind.ASSAULT, Kind.ADVANCE, Kind.NEW_POSITION, Kind.MINELAYING),
    Family.WEAPONS: (Kind.WITHIN_LINE, Kind.OUTSIDE_STORAGE),
    Family.AIR: (Kind.OVERFLIGHT, Kind.JAMMING),
    Family.INFRASTRUCTURE: (Kind.FACILITY_STRIKE,),
    Family.CIVILIAN: (Kind.CIVILIAN_ATTACK, Kind.ABDUCTION, Kind.AID_BLOCKED),
    Family.MONITORS: (Kind.FIRE_AT_MONITORS, Kind.DENIAL, Kind.DELAY, Kind.MONITOR_JAMMING, Kind.SEIZURE),
    Family.OTHER: (Kind.PROCEDURE, Kind.OTHER, Kind.NOT_STATED),
}
FAMILY_OF: dict[Kind, Family] = {kind: family for family, kinds in KINDS_OF.items() for kind in kinds}


class Facility(TextChoices):
    """What was hit. The first five are the classes of the energy pause of 2025."""

    OIL_REFINERY = "oil_refinery", "Oil refinery"
    PIPELINE = "pipeline", "Oil and gas pipeline, storage or pumping"
    POWER = "power", "Power generation or transmission"
    NUCLEAR = "nuclear", "Nuclear plant"
    HYDRO_DAM = "hydro_dam", "Hydro dam"
    HOUSING = "housing", "Housing"
    HOSPITAL = "hospital", "Hospital"
    SCHOOL = "school", "School"
    TRANSPORT = "transport", "Transport"
    OTHER = "other", "Other"


class CountUnit(TextChoices):
    """What a count counts. Sums never cross units."""

    EXPLOSIONS = "explosions", "Explosions"
    BURSTS = "bursts", "Bursts"
    SHOTS = "shots", "Shots"
    PROJECTILES = "projectiles", "Projectiles"
    STRIKES = "strikes", "Strikes"
    DRONES = "drones", "Drones"
    WEAPONS = "weapons", "Weapons"
    VIOLATIONS = "violations", "Violations, as counted by the source"
    OTHER = "other", "Other"


class Occurrence(TextChoices):
    """How far it is established that something happened. The last two stand apart: they count nowhere."""

    RECEIVED = "received", "Received"
    SCREENED = "screened", "Screened"
    UNDER_VERIFICATION = "under_verification", "Under verification"
    CORROBORATED = "corroborated", "Corroborated"
    PLAUSIBLE = "plausible", "Plausible"
    UNSUBSTANTIATED = "unsubstantiated", "Unsubstantiated"
    REFUTED = "refuted", "Refuted"
    CANNOT_VERIFY = "cannot_verify", "Cannot verify"
    DUPLICATE = "duplicate", "Duplicate"
    OUT_OF_SCOPE = "out_of_scope", "Out of scope"


OUT = (Occurrence.DUPLICATE, Occurrence.OUT_OF_SCOPE)
WAITING = (Occurrence.RECEIVED, Occurrence.SCREENED, Occurrence.UNDER_VERIFICATION)


class Confidence(TextChoices):
    LOW = "low", "Low"
    MODERATE = "moderate", "Moderate"
    HIGH = "high", "High"


class TimePrecision(TextChoices):
    """How exactly the time is known; ``occurred_from`` and ``occurred_until`` always hold the whole of what may be."""

    EXACT = "exact", "To the minute"
    SPAN = "span", "Between two times"
    PART_OF_DAY = "part_of_day", "Part of a day"
    DAY = "day", "On that day"
    DAYS = "days", "Within some days"
