"""Requests drawn from the service's own description: no 5xx, and every answer is as described."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from serve.running import Process

pytestmark = pytest.mark.filterwarnings("default")  # those of other libraries about each other


@pytest.fixture(scope="module")
def described(process: Process) -> Iterator[schemathesis.BaseSchema]:
    return schemathesis.openapi.from_url(f"{process.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("described")
CHECKS = (
    checks.not_a_server_error,
    schemathesis.checks.CHECKS.get_one("status_code_conformance"),
    schemathesis.checks.CHECKS.get_one("content_type_conformance"),
    schemathesis.checks.CHECKS.get_one("response_schema_conformance"),
)
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


@schema.parametrize()
@settings(QUIET, max_examples=12)
def test_described_and_other_requests(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)


@pytest.mark.slow
@schema.parametrize()
@settings(QUIET, max_examples=1500)
def test_many_described_and_other_requests(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)
