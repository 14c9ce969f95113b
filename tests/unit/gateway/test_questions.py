"""Single questions about access are folded into batches; everyone hears the answer to their own."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from farebox.entitlements.v1 import access_service_pb2
from farebox.entitlements.v1.access_service_pb2 import CheckRequest
from farebox.entitlements.v1.entitlement_pb2 import Access
from gateway.changes import Changes
from gateway.engine.questions import Questions
from services.kernel.errors import InvalidArgumentError
from tests.support.gateway import Begun, bare, refused


class Entitlements:
    """Answers each question with its own feature; one of a feature called `wrong` is refused, with all beside it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.batches: list[int] = []
        self.alone: list[str] = []
        self.revision = 0
        self.at_least: list[int] = []
        self._failure = failure

    def BatchCheck(self, request: Any, **options: Any) -> Begun:
        return Begun(self._batch(request, **options))

    def Check(self, question: CheckRequest, **options: Any) -> Begun:
        return Begun(self._one(question, **options))

    async def _batch(self, request: Any, **options: Any) -> access_service_pb2.BatchCheckResponse:
        assert options["timeout"] > 0
        self.batches.append(len(request.checks))
        self.at_least.append(max(question.at_least_revision for question in request.checks))
        await asyncio.sleep(0)
        if self._failure is not None:
            raise self._failure
        for place, question in enumerate(request.checks):
            if question.feature_code == "wrong":
                raise refused(InvalidArgumentError.of_field(f"checks[{place}].units", "value_is_out_of_range", "no"))
        answers = [Access(feature_code=question.feature_code, revision=self.revision) for question in request.checks]
        return access_service_pb2.BatchCheckResponse(answers=answers)

    async def _one(self, question: CheckRequest, **options: Any) -> access_service_pb2.CheckResponse:
        assert options["timeout"] > 0
        self.alone.append(question.feature_code)
        self.at_least.append(question.at_least_revision)
        await asyncio.sleep(0)
        if question.feature_code == "wrong":
            raise refused(InvalidArgumentError.of_field("units", "value_is_out_of_range", "must not be negative"))
        return access_service_pb2.CheckResponse(
            access=Access(feature_code=question.feature_code, revision=self.revision)
        )


def asked(entitlements: Entitlements, *features: str) -> list[Any]:
    async def story() -> list[Any]:
        questions = Questions(entitlements, Changes())  # type: ignore[arg-type]
        asking = (questions.check("a", CheckRequest(feature_code=feature)) for feature in features)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        return [getattr(answer, "access", answer) for answer in answers]

    return asyncio.run(story())


def test_concurrent_questions_are_one_call_and_each_caller_hears_its_own_answer() -> None:
    entitlements = Entitlements()
    answers = asked(entitlements, *map(str, range(20)))
    assert [answer.feature_code for answer in answers] == [str(number) for number in range(20)]
    assert (entitlements.batches, entitlements.alone) == ([20], [])


def test_a_lone_question_is_asked_as_it_is() -> None:
    entitlements = Entitlements()
    assert asked(entitlements, "calls")[0].feature_code == "calls"
    assert (entitlements.batches, entitlements.alone) == ([], ["calls"])


def test_a_wrong_question_is_refused_alone_and_in_its_own_words() -> None:
    """Whoever asks beside it is answered, and the refused field is the caller's, not one of a batch."""
    first, wrong, last = asked(Entitlements(), "first", "wrong", "last")
    assert (first.feature_code, last.feature_code) == ("first", "last")
    assert isinstance(wrong, grpc.RpcError)
    assert "must not be negative" in str(wrong)


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_service_that_is_away_is_not_asked_again_for_each(status: grpc.StatusCode) -> None:
    entitlements = Entitlements(bare(status))
    assert all(isinstance(answer, grpc.RpcError) for answer in asked(entitlements, "a", "b", "c"))
    assert (entitlements.batches, entitlements.alone) == ([3], [])


def test_no_answer_is_older_than_one_before_it() -> None:
    """Replicas of entitlements may be a moment apart: whoever was told of revision 7 is never answered at 6."""

    async def story() -> None:
        questions = Questions(entitlements, Changes())  # type: ignore[arg-type]
        for revision in (7, 6, 8):
            entitlements.revision = revision
            await questions.check("a", CheckRequest(feature_code="calls"))
        await asyncio.gather(*(questions.check("a", CheckRequest(feature_code=feature)) for feature in "xy"))
        questions.note_revision("a", 11)
        await questions.check("a", CheckRequest(feature_code="calls"))
        entitlements.revision = 9
        await questions.check("b", CheckRequest(feature_code="calls"))

    entitlements = Entitlements()
    asyncio.run(story())
    assert entitlements.at_least == [0, 7, 7, 8, 11, 0]
