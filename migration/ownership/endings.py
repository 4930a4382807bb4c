"""What the status of any custom resource says of an end. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migration.objects.kinds import Object

STATES = ("phase", "state", "status")
DONE = frozenset({"succeeded", "succeed", "success", "successful", "complete", "completed", "finished", "done"})
BROKEN = frozenset({"failed", "error", "errored", "aborted", "cancelled", "canceled", "terminated", "timedout"})
FLAGS = ("completed", "finished", "isCompleted", "isFinished", "done")
GOING_ON = frozenset({"running", "inprogress", "in_progress", "in-progress", "processing", "executing", "started"})
DONE_CONDITIONS = frozenset({"Complete", "Completed", "Finished", "Done", "SuccessCriteriaMet"})
# Tekton: Succeeded is Unknown while it runs, False when it has failed
WEAK_CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "Succeeded": ("True", "False"),
    "Failed": ("True",),
    "FailureTarget": ("True",),
}
END_TIME = re.compile(r"(?:completion|completed|finish|finished)(?:Time|Timestamp|At|Date)")
MAY_BE_TO_COME = re.compile(r"(?:end|ended|termination|stopped)(?:Time|Timestamp|At|Date)")  # says nothing without a word
OF_A_PART = re.compile(r"(?!last|latest|previous|next)\w+(?:Completion|Completed|Finished)(?:Time|Timestamp|At|Date|Ts)")
EARLIER = ("last", "latest", "previous", "current", "next")  # of one run of many: `lastBackup: {phase: Completed}`
# Who has one of these is up: what is there to stay, after its controller has made it.
UP_CONDITIONS = frozenset({"Ready", "Available", "Healthy", "Synced", "Reconciled", "Programmed", "Accepted", "Established"})
UP_FIELDS = ("readyReplicas", "replicas", "availableReplicas", "endpoint", "endpoints", "url", "address", "addresses", "health")


@dataclass(frozen=True, slots=True)
class End:
    """What a status says of an end. `word`: in which words, for people; `done`: it is what a run says, and not one that was
    only made or is broken; `part`: what it says below the top; `time`: the field with the time of the end; `up`: it says
    as well that it is up; `going_on`: that it runs.
    """

    word: str = ""
    done: bool = False
    part: str = ""
    time: str = ""
    up: bool = False
    going_on: str = ""


def end_said(status: Mapping[str, Any]) -> End:
    """What a status says of an end."""
    words = _words(status)
    done = any(word.lower().rpartition(" ")[2] in DONE or word.endswith(": true") for word in words)
    for condition in _conditions(status):
        kind, value = condition.get("type"), condition.get("status")
        if kind in DONE_CONDITIONS and value == "True":
            words.append(f"condition {kind}")
            done = True
        elif value in WEAK_CONDITIONS.get(str(kind), ()):
            words.append(f"condition {kind}: {value}")
    parts = [key for key, value in status.items() if value and OF_A_PART.fullmatch(key)]
    for key, value in status.items():
        if isinstance(value, dict) and not key.startswith(EARLIER):
            parts += [f"{key}.{word}" for word in _words(value)]
            parts += [f"{key}.{inner}" for inner, time in value.items() if time and END_TIME.fullmatch(str(inner))]
    times = [key for key, value in status.items() if value and (END_TIME.fullmatch(key) or MAY_BE_TO_COME.fullmatch(key))]
    up = any(each.get("type") in UP_CONDITIONS for each in _conditions(status))
    up |= any(status.get(key) not in (None, "", 0) for key in UP_FIELDS)
    going_on = [f"{key}: {status[key]}" for key in STATES if str(status.get(key, "")).lower() in GOING_ON]
    first = [next(iter(each), "") for each in (words, parts, times, going_on)]
    return End(first[0], done, first[1], first[2], up, first[3])


def _words(level: Mapping[str, Any]) -> list[str]:
    """`phase: Succeeded`, `completed: true`."""
    words = [f"{key}: {level[key]}" for key in STATES if str(level.get(key, "")).lower() in DONE | BROKEN]
    return words + [f"{key}: true" for key in FLAGS if level.get(key) is True]


def _conditions(status: Mapping[str, Any]) -> list[Object]:
    conditions = status.get("conditions")
    conditions = conditions if isinstance(conditions, list) else []
    return [each for each in conditions if isinstance(each, dict) and isinstance(each.get("type"), str)]
