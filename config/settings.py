"""All settings, from the environment or `.env`; every one has a default that works on a laptop.

The README's settings table is kept complete by tests/config/test_readme.py.
A name with `_FILE` appended reads the value from that file (for container secrets).
"""

import logging
import os
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config import secrets as local_secrets
from config.environment import Environment
from tenants.redis_nodes import addresses

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

ENV_FILE = Path(env.str("ENV_FILE", default=str(BASE_DIR / ".env")))
if ENV_FILE.exists():
    env.read_env(str(ENV_FILE))  # the real environment wins over the file
PRODUCTION = env.bool("PRODUCTION", default=False)
if not PRODUCTION and local_secrets.ensure(ENV_FILE):
    env.read_env(str(ENV_FILE))

# --- who we are -----------------------------------------------------------------------------------
VERSION = "0.1.0"
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])  # older ones, while keys made with them are in use
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var")))
DATA_DIR.mkdir(parents=True, exist_ok=True)

INTERNAL_API_SECRET = env.str("INTERNAL_API_SECRET", default="")
INTERNAL_API_SECRET_PREVIOUS = env.str("INTERNAL_API_SECRET_PREVIOUS", default="")
ADMIN_PASSWORD = env.str("ADMIN_PASSWORD", default="")
EXPRESS_CALLBACK_URL = env.str("EXPRESS_CALLBACK_URL", default="")
# Private networks and hosts that configured addresses may lead to (tenants/egress.py): at least the callback's own.
EGRESS_ALLOWED_PRIVATE = env.list("EGRESS_ALLOWED_PRIVATE", default=[urlsplit(EXPRESS_CALLBACK_URL).hostname or ""])
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])  # networks whose X-Forwarded-For counts
DASHBOARD_DOMAINS = env.list("DASHBOARD_DOMAINS", default=["localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*"])
UPGRADE_URL = env.str("UPGRADE_URL", default="")  # empty: PUBLIC_URL/upgrade

# --- services: the embedded default unless an address says otherwise ---------------------------------
DATABASE_URL = env.str("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")
DATABASE_OWNER_URL = env.str(
    "DATABASE_OWNER_URL", default=""
)  # whose the tables are; only `migrate` and `restore` connect so
DATABASE_REPLICA_URL = env.str("DATABASE_REPLICA_URL", default="")  # of a streaming replica, for tenants/reports.py
REDIS_URL = env.str("REDIS_URL", default="")
REDIS_CLUSTER = env.bool("REDIS_CLUSTER", default=False)  # REDIS_URL is of one or some of a cluster's nodes
QDRANT_URL = env.str("QDRANT_URL", default="")
QDRANT_API_KEY = env.str("QDRANT_API_KEY", default="")
QDRANT_COLLECTION = env.str("QDRANT_COLLECTION", default="passages")
QDRANT_SHARDS = env.int("QDRANT_SHARDS", default=0)  # of a new collection, for a cluster; 0: the server's default
QDRANT_REPLICAS = env.int("QDRANT_REPLICAS", default=0)  # likewise
EMBEDDED = not QDRANT_URL  # the vector store lives in this process, and so does ingestion

METRICS_ADDRESS = env.str("METRICS_ADDRESS", default="")  # host:port of a listener of their own, which asks nobody
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")  # for /metrics of the web process

PROCESS = "worker" if "qcluster" in sys.argv[:2] else "web"

if PROCESS == "worker" and METRICS_ADDRESS:  # before anything is counted (tenants/metrics.py); forks inherit it
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="support-chat-metrics-"))

_as_owner = DATABASE_OWNER_URL and sys.argv[1:2] in (["migrate"], ["restore"])
DATABASE_THREADS = 3  # in which answers query, each with a connection: more of them wait for each other
DATABASES = {"default": env.db_url_config(DATABASE_OWNER_URL if _as_owner else DATABASE_URL)}
_database = DATABASES["default"]
if not _database.get("ENGINE", "").endswith(("postgresql", "sqlite3")):
    raise ImproperlyConfigured("DATABASE_URL is no postgres://user:password@host:5432/name and no sqlite:///file.")
_database.setdefault("OPTIONS", {})
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", default=10)  # 0: no pool of ours, and perhaps an outer one
DATABASE_STATEMENT_SECONDS = env.float("DATABASE_STATEMENT_SECONDS", default=5.0)  # of web processes; 0: no deadline
DATABASE_REPLICA_SECONDS = env.float("DATABASE_REPLICA_SECONDS", default=10.0)  # an older replica makes no report
DATABASE_ROUTERS = ["tenants.reports.Router"]
if "postgresql" in _database["ENGINE"]:  # a host that is gone: without these the system waits for minutes or hours
    _keepalives = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    _database["OPTIONS"] = {
        "connect_timeout": 3,
        "tcp_user_timeout": 15_000,
        **_keepalives,
        **_database["OPTIONS"],
    }
    # An outer pooler hands each transaction another connection, where what was prepared on the last one is not known.
    _database["OPTIONS"].setdefault("prepare_threshold", 5 if DATABASE_POOL_SIZE else None)  # statements.py's uses
if "sqlite" in _database["ENGINE"]:
    # IMMEDIATE takes the write lock at BEGIN: without it concurrent writers fail with "database is locked".
    _database["OPTIONS"].update(
        timeout=20,
        transaction_mode="IMMEDIATE",
        # Not every SQLite overwrites what is deleted unless it is told to.
        init_command=(
            "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA busy_timeout=20000;PRAGMA secure_delete=ON;"
        ),
    )
    _database["CONN_MAX_AGE"] = None  # a file handle a thread; opening one costs more than most queries
    _database["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # threads in tests wait for locks in a file only
elif sys.argv[1:2] == ["migrate"]:
    # A change that waits for its lock makes everybody wait behind it: it gives up, and the release is tried again.
    _database["OPTIONS"]["options"] = "-c lock_timeout=5s"
elif PROCESS == "worker":
    # The psycopg pool does not survive the cluster's fork; one kept and checked connection does.
    _database.update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
else:
    _database.update(CONN_MAX_AGE=0, CONN_HEALTH_CHECKS=True)
    if DATABASE_POOL_SIZE and sys.argv[1:2] != ["restore"]:  # it counts who else is there
        pool_size = max(DATABASE_POOL_SIZE, 2)  # one for answers, which is kept, and one for everything else
        from config.database import Connection, ImpatientConnection

        _pool: dict[str, Any] = {"min_size": 1, "max_size": pool_size, "timeout": 4, "connection_class": Connection}
        _database["OPTIONS"]["pool"] = _pool
        DATABASE_THREADS = min(DATABASE_THREADS, pool_size - 1)
        # Visitors wait for this process, and no job runs in it. Without a pool the deadlines are the outer pooler's.
        if DATABASE_STATEMENT_SECONDS and sys.argv[1:2] == ["web"] and not EMBEDDED:
            _pool["connection_class"] = ImpatientConnection
            _database["OPTIONS"].setdefault("options", f"-c statement_timeout={DATABASE_STATEMENT_SECONDS * 1000:.0f}")
if DATABASE_REPLICA_URL and not _as_owner:
    from config.database import replica_of

    DATABASES["replica"] = replica_of(_database, env.db_url_config(DATABASE_REPLICA_URL))

if REDIS_URL:
    _deadlines = {"socket_timeout": 1, "socket_connect_timeout": 1}  # a cache that hangs is worse than none
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": _deadlines,
        }
    }
    if REDIS_CLUSTER:
        CACHES = {"default": {"BACKEND": "tenants.redis_cache.ClusterCache", "LOCATION": REDIS_URL}}
    CHANNEL_LAYERS = {  # what is published at one node of a cluster is heard at all
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": addresses(REDIS_URL) if REDIS_CLUSTER else [REDIS_URL]},
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Figures from the delivery experiments of django-q2 1.11: `queue_limit` equal to the workers, and
# retry > timeout * (ceil((queue_limit + 1) / workers) + 1), keep a running task from being started twice.
# The whole attempt at one document must fit into INGEST_SECONDS.
INGEST_SECONDS = env.int("INGEST_SECONDS", default=300)
Q_CLUSTER = {
    "name": "support-chat",
    "orm": "default",
    "workers": env.int("WORKERS", default=2),
    "queue_limit": env.int("WORKERS", default=2),
    "bulk": 1,
    "poll": 0.2,
    "timeout": INGEST_SECONDS,
    "retry": INGEST_SECONDS * 3 + 100,
    "max_attempts": 3,
    "ack_failures": False,
    "recycle": 50,
    "catch_up": False,
    "save_limit": 1000,
    "guard_cycle": 0.5,
    "label": "Queue",
}

# --- models -----------------------------------------------------------------------------------------
OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="")
ANTHROPIC_API_KEY = env.str("ANTHROPIC_API_KEY", default="")
ANTHROPIC_BASE_URL = env.str("ANTHROPIC_BASE_URL", default="")
FREE_MODEL = env.str("FREE_MODEL", default="gpt-4o-mini")
PAID_MODEL = env.str("PAID_MODEL", default="claude-sonnet-4-5")
FALLBACK_TO_OTHER_PROVIDER = env.bool("FALLBACK_TO_OTHER_PROVIDER", default=False)
# Seconds, as are the next two. To the first token retries and the other provider are included.
LLM_CONNECT_TIMEOUT = env.float("LLM_CONNECT_TIMEOUT", default=3.0)
LLM_FIRST_TOKEN_TIMEOUT = env.float("LLM_FIRST_TOKEN_TIMEOUT", default=20.0)  # of a stream; and between tokens
LLM_TOTAL_TIMEOUT = env.float("LLM_TOTAL_TIMEOUT", default=120.0)
EMBEDDING_MODEL = env.str(
    "EMBEDDING_MODEL",
    default="text-embedding-3-small" if OPENAI_API_KEY and not OPENAI_BASE_URL else "all-minilm-l6-v2",
)
EMBEDDING_BASE_URL = env.str("EMBEDDING_BASE_URL", default=OPENAI_BASE_URL)
EMBEDDING_DIMENSIONS = env.int("EMBEDDING_DIMENSIONS", default=0)  # 0: the model's own
ANSWER_TIMEOUT = env.float("ANSWER_TIMEOUT", default=30.0)  # of an answer that is not streamed
ANSWER_FIRST_TOKEN_TIMEOUT = env.float("ANSWER_FIRST_TOKEN_TIMEOUT", default=8.0)  # its LLM_FIRST_TOKEN_TIMEOUT
ABANDONED_SECONDS = env.float("ABANDONED_SECONDS", default=10.0)  # 0: an answer nobody follows stops at once
TAKEOVER_SECONDS = env.float("TAKEOVER_SECONDS", default=120.0)  # a person gone for so long has handed back
SHUTDOWN_SECONDS = env.float("SHUTDOWN_SECONDS", default=30.0)  # what running answers get to finish after SIGTERM
ANSWER_CACHE_SECONDS = env.int("ANSWER_CACHE_SECONDS", default=300)
GAP_DAYS = env.int("GAP_DAYS", default=90)  # of unanswered questions are grouped, and of them the newest:
GAP_QUESTIONS = env.int("GAP_QUESTIONS", default=2000)
os.environ.setdefault("LANGSMITH_TRACING", "false")  # clients' texts never leave for a tracing service

# --- limits and bills ---------------------------------------------------------------------------------
CURRENCY = env.str("CURRENCY", default="USD")
LIMITS_REDIS_DEADLINE = env.float("LIMITS_REDIS_DEADLINE", default=0.15)  # seconds; then the database decides
LIMITS_WHEN_UNREACHABLE = env.str("LIMITS_WHEN_UNREACHABLE", default="refuse")  # or "admit": neither answers
SESSION_REQUESTS_PER_MINUTE = env.int("SESSION_REQUESTS_PER_MINUTE", default=150)  # here and below 0: no limit
ADDRESS_REQUESTS_PER_MINUTE = env.int("ADDRESS_REQUESTS_PER_MINUTE", default=300)
CLIENT_ANSWERS_AT_ONCE = env.int("CLIENT_ANSWERS_AT_ONCE", default=1000)
VISITOR_ANSWERS_AT_ONCE = env.int("VISITOR_ANSWERS_AT_ONCE", default=10)
ANSWER_LEASE_SECONDS = env.float("ANSWER_LEASE_SECONDS", default=300.0)  # a dead process's answer stops counting
STRIPE_API_KEY = env.str("STRIPE_API_KEY", default="")  # empty: bills stay here
STRIPE_BASE_URL = env.str("STRIPE_BASE_URL", default="https://api.stripe.com")
STRIPE_METER = env.str("STRIPE_METER", default="support_chat_cents")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 10
INVOICE_SELLER = env.str("INVOICE_SELLER", default="")  # name and address printed on invoices
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Support chat <support-chat@localhost>")
BUDGET_HOLD = Decimal(env.str("BUDGET_HOLD", default="0.05"))  # dollars for a call to a model without a known price

# --- documents ------------------------------------------------------------------------------------------
MAX_DOCUMENT_BYTES = env.int("MAX_DOCUMENT_BYTES", default=10 * 1024 * 1024)
# A file in base64 is a third larger, and JSON or multipart adds its own frame.
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_DOCUMENT_BYTES * 4 // 3 + 64 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# What reading one file may cost, in a process of its own; a file that needs more fails with that reason.
PARSE_SECONDS = env.float("PARSE_SECONDS", default=30.0)
PARSE_MEMORY_MB = env.int("PARSE_MEMORY_MB", default=512)
PARSE_MAX_CHARACTERS = env.int("PARSE_MAX_CHARACTERS", default=5_000_000)
PARSE_MAX_PAGES = env.int("PARSE_MAX_PAGES", default=5_000)
PARSE_MAX_ROWS = env.int("PARSE_MAX_ROWS", default=100_000)
# Text recognition for scans, with the extra `ocr`; the memory is PARSE_MEMORY_MB's too.
OCR = env.bool("OCR", default=False)
OCR_LANGUAGES = env.str("OCR_LANGUAGES", default="eng")
OCR_SECONDS = env.float("OCR_SECONDS", default=180.0)
OCR_DATA = env.str("OCR_DATA", default=f"{sys.prefix}/share/tessdata")  # where the languages' wheels put it
# What one document may cost to embed; checked before anything is sent or billed.
MAX_DOCUMENT_CHUNKS = env.int("MAX_DOCUMENT_CHUNKS", default=5_000)
MAX_EMBEDDED_CHARACTERS = env.int("MAX_EMBEDDED_CHARACTERS", default=10_000_000)
# Without a sign of life for so long, a run is taken for dead, and so is a cluster that has work.
INGEST_LEASE_SECONDS = env.float("INGEST_LEASE_SECONDS", default=20.0)
INGEST_RETRY_SECONDS = env.float("INGEST_RETRY_SECONDS", default=10.0)  # then six times as long
MEDIA_ROOT = DATA_DIR / "files"

# --- Django ---------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "config",
    "tenants",
    "billing",
    "knowledge",
    "chat",
    "unfold",
    "unfold.contrib.filters",
    "config.admin_site.DeskAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "django_q",
    "django_otp",
    "django_otp.plugins.otp_totp",
]
MIDDLEWARE = [
    "config.middleware.TraceMiddleware",
    "config.middleware.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.AdminScopeMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,  # config's are found first: it is the first app
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTHENTICATION_BACKENDS = ["tenants.staff.RoleBackend"]
REQUIRE_TWO_FACTOR = env.bool("REQUIRE_TWO_FACTOR", default=False)  # of everyone at the desk, from the next page on
SESSION_COOKIE_AGE = env.int("STAFF_SESSION_SECONDS", default=12 * 3600)
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
OTP_TOTP_ISSUER = "Support desk"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
LOGIN_REDIRECT_URL = "/admin/"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["config.formats"]
STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(DATA_DIR / "static")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
WHITENOISE_USE_FINDERS = not PRODUCTION  # a laptop start needs no collectstatic
WHITENOISE_AUTOREFRESH = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tenants.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "config.errors.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "config.openapi.hooks.Schema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Support chat",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["config.openapi.hooks.complete"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
UNFOLD = {
    "SITE_TITLE": "Support desk",
    "SITE_HEADER": "Support desk",
    "SITE_SYMBOL": "support_agent",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "config.dashboard.icon"}],
    "LOGIN": {"form": "tenants.login.LoginForm"},
    "STYLES": ["config.dashboard.stylesheet"],
    "SCRIPTS": ["config.dashboard.script"],
    "DASHBOARD_CALLBACK": "config.dashboard.dashboard",
    "SIDEBAR": {"navigation": "config.dashboard.navigation"},
    "ACCOUNT": {"navigation": [{"title": "Two-factor login", "link": "/admin/two-factor/"}]},
}

# --- security: loose enough for http://127.0.0.1, strict in production ---------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_REDIRECT_EXEMPT = [r"^health", r"^api/widget/health"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise ImproperlyConfigured("LOG_LEVEL is DEBUG, INFO, WARNING, ERROR or CRITICAL.")
LOGGING_CONFIG = "config.log.configure"
LOGGING = {"level": LOG_LEVEL, "json": PRODUCTION}
