"""What is decided about kinds and classes of objects is tables, and each line of them has its reason."""

from __future__ import annotations

import inspect

import pytest

from migration.codes import DOCS
from migration.objects.classes import ACTIONS, ANSWERS, CLASSES, Action, Answer, Class
from migration.objects.kinds import SKIPPED_KINDS
from migration.ownership.conversion import Rule
from migration.ownership.queues import COMMANDS, IMAGES
from migration.preflight.run import CHECKS, JUDGED
from migration.replicate.refusal import CAUSES
from migration.replicate.rules import RULES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.change.__name__)
def test_each_rule_of_transform_says_why(rule: Rule) -> None:
    assert inspect.getdoc(rule.change)


def test_each_class_action_and_answer_is_explained() -> None:
    assert (set(CLASSES), set(ACTIONS), set(ANSWERS)) == (set(Class), set(Action), set(Answer))
    assert all(about.why and about.becomes for about in CLASSES.values())


def test_each_check_has_a_code_that_the_docs_explain() -> None:
    assert {check.code for check in CHECKS} | {code for check in JUDGED for code in check.codes} <= DOCS.keys()
    assert all(check.blue for check in CHECKS), "a check says which kinds it cannot do without"


def test_each_kind_that_is_never_copied_says_why() -> None:
    assert all(SKIPPED_KINDS.values())


def test_each_program_that_consumes_says_what_it_is() -> None:
    assert all(program.what for program in (*COMMANDS, *IMAGES))


def test_each_cause_of_a_refusal_ends_with_the_next_command() -> None:
    assert all("`bluegreen replicate`" in cause.remedy for cause in CAUSES)
