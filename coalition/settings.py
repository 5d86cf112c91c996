"""All settings, read top to bottom: safety, apps, database, work, API, map.

An empty environment gives a closed product on this machine alone: DEBUG off, loopback hosts, embedded engines.
"""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
import pghistory
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from coalition import embedded, env

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Safety first: closed unless opened ---------------------------------------------------
DEBUG = env.flag("DEBUG", False)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [])
HTTPS = env.flag("HTTPS", False)
DATA_DIR = env.path("DATA_DIR", BASE_DIR / ".local").resolve()

DATABASE_URL = env.text("DATABASE_URL", "")
REDIS_URL = env.text("REDIS_URL", "")
EMBEDDED = not DATABASE_URL
SECRET_KEY = env.text("SECRET_KEY", "")
if not SECRET_KEY:
    if not EMBEDDED or not {"localhost", "127.0.0.1", "[::1]"}.issuperset(ALLOWED_HOSTS):
        raise ImproperlyConfigured("Others are let in (ALLOWED_HOSTS or DATABASE_URL is set), so set SECRET_KEY too.")
    SECRET_KEY = embedded.secret_key(DATA_DIR)

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
# With the prefix a browser takes the cookie from this very host only, over TLS: no neighbour in the domain can set it.
SESSION_COOKIE_NAME = "__Host-sessionid" if HTTPS else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if HTTPS else "csrftoken"
CSRF_COOKIE_HTTPONLY = True  # pages carry the token in a form or in hx-headers; no script reads the cookie
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # what is said to people is not for a cookie
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
CROSS_ORIGIN_EMBEDDER_POLICY = "require-corp"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],  # Bootstrap's icons and the QR code of the second factor
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
        "manifest-src": [SELF],
    }
}
if HTTPS:
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["upgrade-insecure-requests"] = True
FILE_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"  # for what is handed out as a file, in place of it
PERMISSIONS_POLICY: dict[str, list[str]] = {
    name: []
    for name in (
        "accelerometer",
        "autoplay",
        "bluetooth",
        "camera",
        "clipboard-read",
        "display-capture",
        "encrypted-media",
        "fullscreen",
        "gamepad",
        "geolocation",
        "gyroscope",
        "hid",
        "idle-detection",
        "local-fonts",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "picture-in-picture",
        "publickey-credentials-get",
        "screen-wake-lock",
        "serial",
        "usb",
        "xr-spatial-tracking",
    )
}

# --- Apps ---------------------------------------------------------------------------------
INSTALLED_APPS = [
    "coalition.apps.OurAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_countries",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "leaflet",
    "pghistory",
    "pgtrigger",
    "rest_framework",
    "coalition.apps.CoalitionConfig",
    "pledges",
    "monitoring",
]

MIDDLEWARE = [
    "coalition.middleware.HeadersMiddleware",  # around everything: files and probes too
    "coalition.health.HealthMiddleware",  # before what can fail: it answers where nothing else can
    "coalition.metrics.MetricsMiddleware",  # it times all the others
    "coalition.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "coalition.middleware.ReadableAddressMiddleware",
    "coalition.middleware.ActingMiddleware",
]

ROOT_URLCONF = "coalition.urls"
WSGI_APPLICATION = "coalition.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "coalition.pages.shell",
            ],
            "builtins": ["coalition.templatetags.formatting"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
INSTALLED_APPS.insert(0, "django.forms")

# --- People -------------------------------------------------------------------------------
AUTH_USER_MODEL = "coalition.User"
AUTHENTICATION_BACKENDS = ["coalition.accounts.EqualWork"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
] + [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    }
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "coalition.accounts.InvitedOnly"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_CHANGE_EMAIL = False
# Guessing is slowed by name and by address, in the database's cache: a broker that is away lifts no limit.
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/300s/key",  # five wrong passwords for one name, then five minutes of rest
    "reset_password": "20/m/ip,5/m/key",
    "reset_password_from_key": "20/m/ip",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
}
ALLAUTH_TRUSTED_PROXY_COUNT = env.number("PROXIES", 0)  # else all people behind one share its rate limits
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Coalition readiness"
USERSESSIONS_TRACK_ACTIVITY = False  # it would write at every look at a page

# --- Mail: none unless an operator names a host; people then get links from an administrator ---
EMAIL_HOST = env.text("EMAIL_HOST", "")
EMAIL_PORT = env.number("EMAIL_PORT", 587)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 5  # seconds
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM", "coalition-readiness@localhost")
if not EMAIL_HOST:
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

# --- Database: PostgreSQL always; the app role owns nothing -------------------------------
DATABASES = {
    "default": dj_database_url.parse(
        DATABASE_URL or embedded.addresses(DATA_DIR).database, conn_max_age=300, conn_health_checks=True
    )
}
APP_ROLE = env.text("DATABASE_APP_ROLE", "coalition_app")  # whom the migrations grant rights to
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "coalition_cache",
        # The counts of failed logins are in it. With Django's 300 entries a few hundred tries would push them out.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}
PGHISTORY_APPEND_ONLY = True
PGHISTORY_CONTEXT_FIELD = pghistory.ContextJSONField()
PGHISTORY_DEFAULT_TRACKERS = (  # what stood before each change: with the living row that is the whole history
    pghistory.UpdateEvent(row=pghistory.Old),
    pghistory.DeleteEvent(),
)
HISTORY_KEY = env.text("HISTORY_KEY", "")  # signs sealed history; the embedded product makes its own
HISTORY_PUBLIC_KEYS = env.words("HISTORY_PUBLIC_KEYS", [])  # of keys that signed before, or that sign elsewhere

# --- Work: Redis is the broker only -------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL or embedded.addresses(DATA_DIR).redis
CELERY_TASK_IGNORE_RESULT = True
# A worker takes from both in turn: a long heap of jobs does not hold up the dashboards.
CELERY_TASK_QUEUES = [Queue("celery"), Queue("jobs")]
CELERY_TASK_ROUTES = {"coalition.work*": {"queue": "jobs"}}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 120  # seconds; the soft limit comes first, so that a task can say why
CELERY_TASK_SOFT_TIME_LIMIT = 100
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 360,  # three times the longest chunk
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # With these a publish to a dead broker fails at once, to a hung one after 1.5 s; the defaults make it 19 s. The
    # worker's own reconnecting is another setting (broker_connection_retry) and goes on for ever.
    "max_retries": 0,
    "interval_start": 0,
    "socket_connect_timeout": 1,
    "socket_timeout": 1.5,
}
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker as long as it takes
CELERY_TASK_PUBLISH_RETRY = False  # a dead broker may not hold a request: beat sweeps what was not nudged
CELERY_TIMEZONE = "UTC"

# --- Time and language --------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# --- Files --------------------------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_ROOT = DATA_DIR / "media"
STATIC_COLLECTED = env.flag("STATIC_COLLECTED", False)  # an image collects once; a laptop serves as it stands
STATIC_ROOT = env.path("STATIC_ROOT", BASE_DIR / "staticfiles") if STATIC_COLLECTED else None
WHITENOISE_USE_FINDERS = not STATIC_COLLECTED
WHITENOISE_ALLOW_ALL_ORIGINS = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000  # bytes of a form or JSON body
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
IMPORT_PROFILES = [
    "pledges.importing.PledgeProfile",
    "pledges.importing.StatementProfile",
    "pledges.importing.OwnPledges",
    "monitoring.profiles.table.ReportTable",
    "monitoring.profiles.own.OwnReports",
    "monitoring.profiles.osce.OSCEAnnex",
    "monitoring.profiles.acled.ACLED",
    "monitoring.profiles.ucdp.UCDP",
    "monitoring.profiles.viina.VIINAEvents",
    "monitoring.profiles.viina.VIINAInfrastructure",
    "monitoring.profiles.eyes_on_russia.EyesOnRussia",
]

FILTERS_EMPTY_CHOICE_LABEL = "All"

# --- API ----------------------------------------------------------------------------------
# Requests a minute that one token, or one person's browser, may send; 0 is no limit. One client that asks one thing
# after another meets none of them.
API_PER_MINUTE = {
    "requests": env.number("API_REQUESTS_PER_MINUTE", 6_000),
    "files": env.number("API_FILES_PER_MINUTE", 60),
    "what-if": env.number("API_WHAT_IF_PER_MINUTE", 120),
    "uploads": env.number("API_UPLOADS_PER_MINUTE", 300),
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [  # the first one's challenge makes a stranger's answer a 401
        "coalition.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["coalition.access.MayTouch", "coalition.tokens.WithinScope"],
    "DEFAULT_THROTTLE_CLASSES": ["coalition.throttling.PerMinute"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "coalition.schema.Schema",
    "EXCEPTION_HANDLER": "coalition.refusals.error_response",
    "COERCE_DECIMAL_TO_STRING": False,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
REST_KNOX = {
    "TOKEN_MODEL": "coalition.ApiToken",
    "TOKEN_TTL": timedelta(days=90),
    "TOKEN_LIMIT_PER_USER": 20,
    "AUTH_HEADER_PREFIX": "Token",
}
KNOX_TOKEN_MODEL = "coalition.ApiToken"
SPECTACULAR_SETTINGS = {
    "TITLE": "Coalition readiness",
    "DESCRIPTION": "What nations pledge, what is needed, and how ready that makes the coalition.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PERMISSIONS": ["coalition.access.MayTouch"],
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "NationStanding": "coalition.models.Nation.Standing",
        "SectorKind": "coalition.models.Sector.Kind",
        "ConditionKind": "coalition.models.Condition.Kind",
        "ConditionState": "coalition.models.Condition.State",
        "JobState": "coalition.models.Job.State",
        "Category": "pledges.models.Capability.Category",
        "Aggregation": "pledges.models.Capability.Aggregation",
        "PledgeStatus": "pledges.models.Pledge.Status",
        "CaveatKind": "pledges.models.Caveat.Kind",
        "Priority": "pledges.models.Requirement.Priority",
        "ViolationKind": "monitoring.kinds.Kind",
        "ProvisionKind": "monitoring.models.Provision.Kind",
        "Facility": "monitoring.kinds.Facility",
        "Occurrence": "monitoring.models.Occurrence",
        "Verdict": "monitoring.judging.VERDICT_CHOICES",
        "Confidence": "monitoring.models.Confidence",
        "ErrorType": "coalition.schema.TYPES",
        "SourceKind": "monitoring.models.Source.Kind",
        "ReleaseTier": "coalition.api.TIERS",
        "Level": "pledges.filters.LEVEL_CHOICES",
    },
}

# --- Outgoing webhooks: nothing leaves unless an operator names where to --------------------
WEBHOOK_NETWORKS = [ip_network(word.strip()) for word in env.words("WEBHOOK_NETWORKS", [])]
WEBHOOK_PLAIN_NETWORKS = [ip_network(word.strip()) for word in env.words("WEBHOOK_PLAIN_NETWORKS", [])]  # http will do
WEBHOOK_PORTS = [int(word) for word in env.words("WEBHOOK_PORTS", ["443", "8443"])]
CHANGE_FEED = "coalition.api_urls.CHANGING"  # the resources of the feed, for what reads it without a request

# --- Watching: /metrics is not there unless an operator opens it -----------------------------
METRICS_NETWORKS = [ip_network(word.strip()) for word in env.words("METRICS_NETWORKS", [])]
METRICS_TOKEN = env.text("METRICS_TOKEN", "").strip()
if METRICS_TOKEN and len(METRICS_TOKEN) < 20:
    raise ImproperlyConfigured("METRICS_TOKEN can be guessed: it needs 20 characters at least.")

# --- Map: no outside tiles unless an operator names a host ---------------------------------
# West, south, east, north: Ukraine and its neighbours. A place outside is asked about, not refused.
THEATRE = (19.0, 41.0, 50.0, 60.0)
MAP_TILES_URL = env.text("MAP_TILES_URL", "")
LEAFLET_CONFIG = {
    "DEFAULT_CENTER": (48.5, 33.0),
    "DEFAULT_ZOOM": 6,
    "MIN_ZOOM": 4,
    "MAX_ZOOM": 16,
    "TILES": [("Tiles", MAP_TILES_URL, env.text("MAP_TILES_ATTRIBUTION", ""))] if MAP_TILES_URL else [],
    "ATTRIBUTION_PREFIX": "",
    "SCALE": "metric",
    "MINIMAP": False,
    "RESET_VIEW": False,
    "NO_GLOBALS": True,
    "PLUGINS": {},
}
if MAP_TILES_URL:
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["img-src"].append("{0.scheme}://{0.netloc}".format(urlsplit(MAP_TILES_URL)))
    CROSS_ORIGIN_EMBEDDER_POLICY = "credentialless"  # a tile host seldom says that others may embed its tiles

# --- Logging ------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "coalition.logs.NameRequest"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(request_id)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request"]}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "WARNING")},
    "loggers": {
        "coalition.entrance": {"level": "INFO"},
        # A stranger's invented host name is answered with 400; a page of traceback each time would drown the rest.
        "django.security.DisallowedHost": {"handlers": [], "propagate": False},
    },
}
