"""Requests drawn from the service's own description: no 5xx, and every answer is as described."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from serve.running import Process

pytestmark = pytest.mark.filterwarnings("default")  # those of other libraries about each other


CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
)
QUIET = settings(suppress_health_check=list(HealthCheck), derandomize=True, database=None)


def fuzzed(process: Process, examples: int) -> set[tuple[str, int]]:
    """Send each route that many right and as many wrong requests; gives what was answered."""
    seen = set()
    described = schemathesis.openapi.from_url(f"{process.url}/openapi.json")
    for operation in (result.ok() for result in described.get_all_operations()):
        for mode in GenerationMode:

            @settings(QUIET, max_examples=examples)
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: schemathesis.Case) -> None:
                answer = case.call()
                large = answer.status_code == 413  # that is a refusal too, whatever schemathesis expects
                case.validate_response(
                    answer, checks=[c for c in CHECKS if c is not negative_data_rejection or not large]
                )
                seen.add((case.path, answer.status_code))

            if mode == GenerationMode.POSITIVE or operation.body or operation.query:
                check()
    return seen


def test_described_and_other_requests(process: Process) -> None:
    seen = fuzzed(process, 6)
    assert {("/v1/recommend", 200), ("/v1/recommend", 422), ("/v1/feedback", 201), ("/v1/similar", 404)} <= seen


@pytest.mark.slow
def test_many_described_and_other_requests(process: Process) -> None:
    fuzzed(process, 1500)
