"""A reason without a sentence would be a riddle at night."""

from __future__ import annotations

import re
from typing import get_args

from cli.explain import SKEW_S
from cli.words import FAILURES, LEFT_OUT, SERVED, VERDICTS, sentence
from services.oi_poller.sweep import Failure
from services.publisher.audit import SAID, Verdict
from services.publisher.join import FETCH_FAILED, SKEW_MS
from services.publisher.join import LEFT_OUT as REASONS
from tests.pipeline.harness import ROOT


def test_every_reason_the_services_write_has_a_sentence() -> None:
    assert set(LEFT_OUT) == {*REASONS, FETCH_FAILED}
    assert set(FAILURES) == {*(failure.value for failure in Failure), "unreadable"}
    assert set(VERDICTS) == set(get_args(Verdict))


def test_every_word_of_the_audit_has_one() -> None:
    source = (ROOT / "services/publisher/audit.py").read_text()
    groups = source.partition("groups: ")[2].partition("\n    )\n")[0]
    assert set(SERVED) == {*re.findall(r'\("([a-z]+)", ', groups), *SAID}


def test_a_word_of_another_version_is_shown_as_it_stands() -> None:
    assert sentence(LEFT_OUT, "a_new_reason") == "a_new_reason"


def test_clocks_are_judged_as_the_publisher_judges_them() -> None:
    assert SKEW_S * 1000 == SKEW_MS
