"""What kinds of objects there are for a copy that must harm nobody, and what becomes of each.

A **sign** says to which class an object belongs, why, what is done with it unless a person says otherwise, and which
answers a person may give. A **verdict** is a sign with the person's answer. Where an answer is required and missing, the
object is not let loose on green, `preflight` names it as blocking and `replicate` ends with 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Class(StrEnum):
    """Why an object is treated as it is. The first three come along as they are, unless their sign says more."""

    PLAIN = "plain"
    RENAMED = "renamed"  # comes along without what is blue's alone: a fixed name or address, a revision of the mesh
    BASELINE_PEOPLES = "people's"  # a person's object in a namespace of the baseline
    # not started, not shared, not run again
    SINGLETON = "singleton"
    ACTUATOR = "actuator"
    CONSUMER = "consumer"
    ONE_OWNER = "one-owner"
    VOLUME = "volume"
    STATEFUL = "stateful"
    SCHEDULED = "scheduled"
    FINISHED = "finished"
    # brought to green by somebody else, or by nobody
    CLUSTER = "cluster"  # every cluster makes its own
    BASELINE = "baseline"
    CONTROLLER = "controller"
    EDGE = "edge"
    EKS = "EKS"
    GITOPS = "GitOps"
    WEBHOOK = "webhook"  # asks a server for every write, or every read, of what it is for
    GOING = "going"  # being deleted on blue
    UNASKED = "not asked for"


class Action(StrEnum):
    """What becomes of an object."""

    COPY = "copy"
    STOP = "stop"  # with 0 replicas, the wanted number kept in an annotation
    SUSPEND = "suspend"  # the value to go back to kept in an annotation
    IMPORT = "import"  # a volume: the same disk, with reclaim policy Retain
    HOLD = "hold"  # not written; waits for a person
    LEAVE = "leave"  # not written, and nothing to wait for


WRITTEN = frozenset({Action.COPY, Action.STOP, Action.SUSPEND, Action.IMPORT})


class Answer(StrEnum):
    """What a person may write under `replicate.answers`. SKIP is allowed for every object."""

    START = "start"
    HOLD = "hold"
    SKIP = "skip"
    EMPTY = "empty"
    EXTERNAL = "external"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Sign:
    """To which class an object belongs. `action`: what is done without an answer; `answers`: what a person may say and
    what is then done; `required`: without an answer the run does not end well; `notes`: what is changed in the object
    and has to be told, one sentence each; `asked`: what the question is about where it is not the object itself
    (`Application shop`: one answer for all that it claims); `tool`: who brings it to green instead (`Argo CD`).
    """

    cls: Class
    reason: str
    action: Action = Action.LEAVE
    answers: Mapping[Answer, Action] = field(default_factory=lambda: MappingProxyType({}))
    required: bool = False
    notes: tuple[str, ...] = ()
    asked: str = ""
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done with one object, and why. `tool`: who has to bring it to green, so that it can be told whether it did;
    `instead`: the line of `replicate` that settles it where no answer is meant; `relabel`: labels that have another name on
    green, each (key, value, new key, new value).
    """

    action: Action
    cls: Class
    reason: str = ""
    answer: Answer | None = None
    answers: tuple[Answer, ...] = ()
    required: bool = False
    notes: tuple[str, ...] = ()
    asked: str = ""
    tool: str = ""
    instead: str = ""
    relabel: tuple[tuple[str, str, str, str], ...] = ()

    @property
    def unanswered(self) -> bool:
        return self.required and self.answer is None

    def add(self, name: str) -> str:
        """The line for `replicate.answers` (or `instead`) that settles it, with the other choices; "" where there is none."""
        if self.unanswered and self.instead:
            return self.instead
        if not self.unanswered or not self.answers:
            return ""
        first, *others = self.answers
        return f"{self.asked or name}: {first}" + (f"  # or {' | '.join(others)}" if others else "")


PLAIN = Verdict(Action.COPY, Class.PLAIN)


def judged(sign: Sign, answer: Answer | None, *, own: bool = True) -> Verdict:
    """A sign with the answer that is given. The answer must be one that it allows (see judge.refuse_wrong_answers). `own`:
    it was given about this very object, not about what is asked for it.
    """
    answers = tuple(dict.fromkeys((*sign.answers, Answer.SKIP)))
    action = sign.action
    if answer is Answer.SKIP:
        action = Action.LEAVE
    elif answer is not None:
        action = sign.answers.get(answer, action)
    tool = sign.tool if action is Action.LEAVE and not (own and answer is Answer.SKIP) else ""
    return Verdict(action, sign.cls, sign.reason, answer, answers, sign.required, sign.notes, sign.asked, tool)
