"""The API's description is true: current, without warnings, and it names every address, error and version."""

import io
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from drf_spectacular.drainage import GENERATOR_STATS
from rest_framework.renderers import JSONRenderer

from coalition.api_urls import router
from coalition.renderers import EXPORTS

ASKS = {"post /api/v1/readiness/what-if/"}  # a question too long for an address; it writes nothing
# What is created under another thing needs no version of it; a file is the same file by its content.
UNDER_ANOTHER = {
    "post /api/v1/imports/{id}/cancel/": {},
    "post /api/v1/incidents/{id}/responses/": {"Idempotency-Key": False},
    "post /api/v1/reports/{id}/evidence/": {},
}
FEED = "get /api/v1/changes/"  # a feed is not a table
COMMITTED = Path(settings.BASE_DIR) / "docs/openapi.yaml"
RENEW = "Renew it: python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml"


@pytest.fixture(scope="module")
def described() -> str:
    GENERATOR_STATS.reset()
    out = io.StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    return out.getvalue()


def test_the_committed_description_is_up_to_date(described):
    assert described.strip() == COMMITTED.read_text().strip(), RENEW


def test_it_is_openapi_31(described):
    assert yaml.safe_load(described)["openapi"] == "3.1.0"


def operations(described: str):
    for address, methods in yaml.safe_load(described)["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {address}", operation


def test_every_resource_is_described(described):
    addresses = set(yaml.safe_load(described)["paths"])
    assert {f"/api/v1/{name}/" for name, _, _ in router.registry} <= addresses


def test_every_error_has_the_one_shape(described):
    for name, operation in operations(described):
        assert {"400", "401", "403"} <= set(operation["responses"]), name
        for code, answer in operation["responses"].items():
            if code >= "400":
                [(media_type, content)] = answer["content"].items()
                assert (media_type, content["schema"]["$ref"]) == ("application/json", "#/components/schemas/Error")


def test_every_change_asks_for_a_version_and_every_create_may_carry_a_key(described):
    for name, operation in operations(described):
        headers = {
            each["name"]: each.get("required", False)
            for each in operation.get("parameters", [])
            if each["in"] == "header"
        }
        if name.startswith("get") or name in ASKS:
            assert not set(headers) - {"Prefer", "Range"}, name
        elif name in UNDER_ANOTHER:
            assert headers == UNDER_ANOTHER[name], name
        elif name.startswith("post") and "{" not in name:
            assert headers == {"Idempotency-Key": False}, name
        else:
            assert headers == {"If-Match": True}, name
            assert {"404", "412", "428"} <= set(operation["responses"]), name


def test_every_list_is_a_page_or_a_file(described):
    for name, operation in operations(described):
        if name.startswith("get") and "{" not in name and name != FEED:
            content = operation["responses"]["200"]["content"]
            assert set(content) == {renderer.media_type for renderer in (JSONRenderer, *EXPORTS)}, name
            assert content["application/json"]["schema"]["$ref"].startswith("#/components/schemas/Paginated"), name
            [formats] = [each for each in operation["parameters"] if each["name"] == "format"]
            assert formats["schema"]["enum"] == sorted(renderer.format for renderer in (JSONRenderer, *EXPORTS))


def test_a_field_of_the_planning_tier_is_not_promised(described):
    condition = yaml.safe_load(described)["components"]["schemas"]["Condition"]
    assert "probability" in condition["properties"]
    assert "probability" not in condition["required"]
