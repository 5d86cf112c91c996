"""The production road, as far as files can say: docker-compose.yml, the proxy's settings, the image, the secrets."""

import logging
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from coalition import accounts, logs
from tests.bed import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
ONCE = {"migrate", "backup", "restore"}  # they do one thing and end
PROXY = (ROOT / "docker/nginx.conf").read_text()
ENVIRONMENT = (ROOT / "docker-compose.yml").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_each_part_is_locked_in(name):
    part = SERVICES[name]
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "network_mode", "devices", "ipc", "userns_mode"} & part.keys()
    user, _, group = part["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert not any("docker.sock" in volume for volume in part.get("volumes", []))


@pytest.mark.parametrize("name", SERVICES)
def test_each_part_has_limits_a_health_check_and_a_bounded_log(name):
    part = SERVICES[name]
    assert part["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert part["logging"]["options"].keys() == {"max-size", "max-file"}
    assert part["restart"] == "no" or name == "migrate" or part["restart"] == "unless-stopped"
    assert ("test" in part["healthcheck"]) is (name not in ONCE)


def test_images_are_pinned_to_a_patch_release():
    images = [part["image"] for part in SERVICES.values() if "build" not in part]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 4
    assert [image for image in images if not re.search(r":\d+\.\d+(\.\d+)?-", image)] == []


def test_only_the_proxy_is_reached_from_outside_and_only_where_an_operator_says():
    published = {name: part["ports"] for name, part in SERVICES.items() if "ports" in part}
    assert published.keys() == {"proxy"}
    assert all(port.startswith("${PUBLISH:-127.0.0.1}:") for port in published["proxy"])


def test_what_needs_no_way_out_has_none():
    inner = {name for name, network in COMPOSE["networks"].items() if network and network.get("internal")}
    reach_out = {name for name, part in SERVICES.items() if set(part["networks"]) - inner}
    assert reach_out == {"proxy", "worker"}
    assert "inside" not in SERVICES["proxy"]["networks"], "whoever breaks the proxy does not stand beside the database"


def test_no_secret_is_in_an_environment_or_an_argument():
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|KEY$|DATABASE_URL|REDIS_URL")
    for part in SERVICES.values():
        for name, value in part.get("environment", {}).items():
            if secret.search(name.removesuffix("_FILE")):
                assert name.endswith("_FILE"), name
                assert value.startswith("/run/secrets/"), name
        for name in part.get("secrets", []):
            assert name in COMPOSE["secrets"]
    assert not any("owner" in secret for name in ("web", "worker", "beat") for secret in SERVICES[name]["secrets"])


def test_the_worker_alone_can_sign_history():
    assert {name for name, part in SERVICES.items() if "history_key" in part.get("secrets", [])} == {"worker"}


def test_each_secret_an_environment_names_is_given_to_that_part():
    for name, part in SERVICES.items():
        files = [value for value in part.get("environment", {}).values() if str(value).startswith("/run/secrets/")]
        assert {path.removeprefix("/run/secrets/") for path in files} <= set(part["secrets"]), name


def test_settings_an_operator_may_choose_reach_the_parts():
    settings = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "coalition/settings.py").read_text()))
    passed = {name.removesuffix("_FILE") for name in SERVICES["worker"]["environment"]}
    fixed = {"DEBUG", "DATABASE_APP_ROLE", "DATA_DIR", "STATIC_COLLECTED", "STATIC_ROOT"}  # by the image, or never
    assert settings - passed == fixed


def test_every_variable_of_the_compose_file_is_explained():
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", ENVIRONMENT))
    explained = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used - explained == set()


def test_the_image_has_what_the_compose_file_counts_on():
    said = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.txt" in said
    assert "USER app" in said
    assert "--gid 10001" in said
    assert "--uid 10001" in said
    assert {"secrets", ".env", "backups", ".git"} <= set((ROOT / ".dockerignore").read_text().split())


def test_the_database_and_the_broker_keep_what_they_are_given():
    broker = SERVICES["redis"]["command"][2]
    assert "appendonly yes" in broker
    assert "maxmemory-policy noeviction" in broker
    assert not any("fsync" in word or "synchronous_commit" in word for word in SERVICES["db"]["command"])


def test_nobody_is_believed_who_says_he_is_the_proxy():
    for name, value in (
        ("X-Forwarded-For", "$remote_addr"),
        ("X-Forwarded-Proto", "$scheme"),
        ("X-Forwarded-Host", '""'),
        ("Forwarded", '""'),
    ):
        assert f"proxy_set_header {name} {value};" in PROXY
    assert "$proxy_add_x_forwarded_for" not in PROXY, "a stranger's own claim would be handed on"
    assert SERVICES["web"]["environment"]["PROXIES"] == "1"


def test_who_guesses_passwords_behind_the_proxy_is_told_apart_by_address(settings, rf):
    adapter = accounts.InvitedOnly()
    request = rf.get("/accounts/login/", REMOTE_ADDR="172.18.0.5", headers={"x-forwarded-for": "192.0.2.7"})
    assert adapter.get_client_ip(request) == "172.18.0.5", "without a proxy the header is anybody's"
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert adapter.get_client_ip(request) == "192.0.2.7"


def test_the_proxy_refuses_before_the_product_must():
    for needed in ("limit_req ", "limit_conn ", "client_max_body_size", "client_header_timeout", "client_body_timeout"):
        assert needed in PROXY
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in PROXY
    assert PROXY.count("{") == PROXY.count("}")
    for location in re.findall(r"location (?:~ )?(?:\^)?[^=\n]*\{(.*?)\n    \}", PROXY, re.DOTALL):
        assert "return 308" in location or "limit_req " in location


def test_secrets_are_made_once_and_a_folder_of_others_stays(tmp_path):
    (tmp_path / "docker").mkdir()
    shutil.copy(ROOT / "docker/make-secrets", tmp_path / "docker")
    (tmp_path / "secrets").mkdir()
    for mine in ("tls_certificate", "tls_key"):
        (tmp_path / "secrets" / mine).write_text("the operator's own")

    def made() -> dict[str, str]:
        subprocess.run([tmp_path / "docker/make-secrets"], check=True, capture_output=True)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    first = made()
    assert made() == first
    assert first.keys() == COMPOSE["secrets"].keys()
    assert first["tls_key"] == "the operator's own"
    assert len({len(first[name]) > 60 for name in ("secret_key", "metrics_token", "superuser_password")}) == 1


def test_the_settings_of_production_satisfy_djangos_own_check(tmp_path):
    production = {
        "SECRET_KEY": "b" * 20 + "only-for-this-test-" + "z9" * 20,
        "DATABASE_URL": "postgresql://coalition_app@127.0.0.1:9/coalition",
        "ALLOWED_HOSTS": "readiness.example.org",
        "HTTPS": "1",
        "PROXIES": "1",
        "DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "coalition.settings",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], **production}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


def test_a_metrics_token_that_can_be_guessed_stops_the_start(tmp_path):
    weak = {"METRICS_TOKEN": "short", "SECRET_KEY": "x", "DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "import coalition.settings"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], **weak}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "METRICS_TOKEN can be guessed" in done.stderr


@pytest.mark.django_db
def test_a_log_line_names_the_request_it_is_about(client):
    record = logging.LogRecord("django.request", logging.ERROR, "", 0, "It broke.", None, None)
    client.get("/accounts/login/", headers={"x-request-id": "id-of-the-proxy"})
    assert logs.NameRequest().filter(record)
    assert record.request_id == "id-of-the-proxy"
