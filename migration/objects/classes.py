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

from migration.objects.annotations import ORIGINAL_REPLICAS, ORIGINAL_SUSPEND


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
    UNASKED = "not requested"


@dataclass(frozen=True, slots=True)
class About:
    """`why` an object is of a class, and what `becomes` of it without an answer; for people, and docs/guides/replicate.md."""

    why: str
    becomes: str


CLASSES: Mapping[Class, About] = MappingProxyType(
    {
        Class.PLAIN: About("nothing speaks against a copy", "copied"),
        Class.RENAMED: About(
            "carries what is blue's alone: a fixed name or address, a revision of the mesh",
            "copied without it; the plan says what",
        ),
        Class.BASELINE_PEOPLES: About(
            "a person's object in a namespace of the baseline",
            "copied, where green has another by that name held; in kube-system and the like needs an answer",
        ),
        Class.SINGLETON: About("`singletons` in migration.yaml names it", "at 0 replicas until it is handed over"),
        Class.ACTUATOR: About(
            "acts on what is outside the cluster by the cluster's name, an owner id or a role: two of them fight",
            "needs an answer; not started",
        ),
        Class.CONSUMER: About(
            "takes work from a queue: two of them take each message from the other", "needs an answer; not started"
        ),
        Class.ONE_OWNER: About("stands for something outside that can have one owner", "needs an answer; held"),
        Class.VOLUME: About("stands for a disk that two clusters would both attach, or delete", "needs an answer; held"),
        Class.STATEFUL: About(
            "keeps data on claims: on green it would begin empty, and its clients there would use it",
            "needs an answer; held",
        ),
        Class.WEBHOOK: About(
            "asks a server for every write, or every read, of what it is for; the CA in it is of blue's server",
            "copied where green's own CA gets into it, else needs an answer; held",
        ),
        Class.SCHEDULED: About("a clock starts it, or it runs once", "suspended until it is handed over"),
        Class.FINISHED: About("has ended on blue; a copy would run again", "left out"),
        Class.CLUSTER: About("every cluster makes its own", "left out"),
        Class.BASELINE: About("comes with green's own baseline", "left out"),
        Class.CONTROLLER: About("made by another object, which comes along", "left out"),
        Class.EDGE: About("an enrolled route, or what it forwards by: the edge writes it", "left out"),
        Class.EKS: About("managed by EKS", "left out"),
        Class.GITOPS: About("Argo CD or Flux deploys it, and does so on green", "left out"),
        Class.GOING: About("being deleted on blue", "left out"),
        Class.UNASKED: About("not meant by the names on the command line, or by `replicate.include` and `exclude`", "left out"),
    }
)


class Action(StrEnum):
    """What becomes of an object."""

    COPY = "copy"
    STOP = "stop"  # with 0 replicas, the wanted number kept in an annotation
    SUSPEND = "suspend"  # the value to go back to kept in an annotation
    IMPORT = "import"  # a volume: the same disk, with reclaim policy Retain
    HOLD = "hold"  # not written; waits for a person
    LEAVE = "leave"  # not written, and nothing to wait for


WRITTEN = frozenset({Action.COPY, Action.STOP, Action.SUSPEND, Action.IMPORT})


ACTIONS: Mapping[Action, str] = MappingProxyType(
    {
        Action.COPY: "copied as it is",
        Action.STOP: f"copied with 0 replicas; the wanted number is kept in the annotation {ORIGINAL_REPLICAS}",
        Action.SUSPEND: f"copied suspended; what it was before is kept in the annotation {ORIGINAL_SUSPEND}",
        Action.IMPORT: "the same disk, with reclaim policy Retain",
        Action.HOLD: "not written; waits for a person",
        Action.LEAVE: "not written",
    }
)


class Answer(StrEnum):
    """What a person may write under `replicate.answers`. SKIP is allowed for every object."""

    START = "start"
    HOLD = "hold"
    SKIP = "skip"
    EMPTY = "empty"
    EXTERNAL = "external"
    IMPORT = "import"


ANSWERS: Mapping[Answer, str] = MappingProxyType(
    {
        Answer.START: "runs on green as soon as it is there, beside blue's",
        Answer.HOLD: "does not run on green yet",
        Answer.SKIP: "left out for good",
        Answer.EMPTY: "starts on green with empty volumes",
        Answer.EXTERNAL: "its clients on green use blue's, or a database outside",
        Answer.IMPORT: "green takes over the same disk",
    }
)


@dataclass(frozen=True, slots=True)
class Sign:
    """To which class an object belongs. `action`: what is done without an answer; `answers`: what a person may say and
    what is then done; `required`: without an answer the run does not end well; `notes`: what is changed in the object
    and has to be told, one sentence each; `asked`: what the question is about where it is not the object itself
    (`Application shop`: one answer for all that it claims); `tool`: who brings it to green instead (`Argo CD`);
    `doubt`: the note of one that comes along and may take work that blue's takes as well.
    """

    cls: Class
    reason: str
    action: Action = Action.LEAVE
    answers: Mapping[Answer, Action] = field(default_factory=lambda: MappingProxyType({}))
    required: bool = False
    notes: tuple[str, ...] = ()
    asked: str = ""
    tool: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done with one object, and why. `tool`: who has to bring it to green, so that it can be told whether it did;
    `doubt`: as of the sign; `instead`: the line of `replicate` that settles it where no answer is meant; `relabel`: labels
    that have another name on green, each (key, value, new key, new value).
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
    doubt: str = ""
    instead: str = ""
    relabel: tuple[tuple[str, str, str, str], ...] = ()
    called: str = ""  # how the answer names it, where that is not simply its name
    brought: str = ""  # why it is asked for, where not everything is: `asked for`, `brought by Deployment shop/web`

    @property
    def unanswered(self) -> bool:
        """Whether it waits for what a person has to say."""
        return self.required and self.answer is None

    def question(self, name: str) -> str:
        """Under which name a person answers: the object's, or that of who claims several."""
        return self.asked or self.called or name

    def add(self, name: str) -> str:
        """The line for `replicate.answers` (or `instead`) that settles it, with the other choices; "" where there is none."""
        if self.unanswered and self.instead:
            return self.instead
        if not self.unanswered or not self.answers:
            return ""
        first, *others = self.answers
        return f"{self.question(name)}: {first}" + (f"  # or {' | '.join(others)}" if others else "")


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
    reason = sign.reason or ("skipped by its answer in migration.yaml" if answer is Answer.SKIP else "")
    return Verdict(action, sign.cls, reason, answer, answers, sign.required, sign.notes, sign.asked, tool, sign.doubt)
