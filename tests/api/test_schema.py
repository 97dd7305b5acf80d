"""Whatever OpenAPI allows, and much that it does not: no request is answered with a fault of ours."""

import contextlib
import itertools
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation, BaseSchema

from tests.api.serving import Served

EXAMPLES = 5
"""For each operation, of valid requests and of invalid ones."""


@pytest.fixture(scope="module")
def schema(served: Served) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


def server_errors(served: Served, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> list[str]:
    """What was sent where a 5xx came back. Every other request is about a session and a turn that exist."""
    found: list[str] = []
    with httpx.Client(base_url=served.url, headers=served.headers, trust_env=False) as client:
        session = client.post("/chat/sessions", json={}).json()["sessionId"]
        question = {"messages": [{"role": "user", "content": "hello"}], "stream": False}
        turn = client.post(f"/chat/{session}", json=question).json()["turnId"]
    turns = itertools.cycle([{}, {"session_id": session, "turn_id": turn}])

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Case[Any]) -> None:
        case.path_parameters |= {name: known for name, known in next(turns).items() if name in case.path_parameters}
        response = case.call(headers=served.headers, timeout=30)
        if response.status_code >= 500:
            found.append(f"{case.as_curl_command()}\n  -> {response.status_code} {response.content[:500]!r}")

    with contextlib.suppress(Unsatisfiable):  # some operations take nothing that could be wrong
        send()
    return found


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_no_request_meets_a_server_error(served: Served, schema: BaseSchema, mode: GenerationMode) -> None:
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) >= 18
    found = [error for operation in operations for error in server_errors(served, operation, mode)]
    assert not found, "\n".join(found)
