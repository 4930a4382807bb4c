"""Every way in which the command can fail, split by what the caller should do about it.

    BluegreenError                     exit 1   what, where, value against allowed, next command
    ├── ConfigError                    exit 2   a file or an option is wrong; nothing was changed
    ├── Held                           exit 3   a gate or a finding holds
    ├── TakenBack                      exit 4   a service went back unasked
    ├── Locked                         exit 5   somebody else holds the migration's lock
    │   └── LostFence                  exit 5   somebody took the lock over while we worked
    ├── Interrupted                    exit 130 asked to stop; the state is saved
    ├── ForeignWrite                   exit 3   a file or weight was changed by somebody else; frozen
    ├── Temporary                      exit 1   worth another try after `retry_after_seconds`
    │   └── Unreachable                         no answer, or not in time
    └── Permanent                      exit 1   the same request will fail again
        ├── NotFound
        ├── Conflict                            another owner of the fields, or a stale resourceVersion
        ├── Forbidden                           401 and 403
        └── Rejected                            understood and refused

No exception of a client's library leaves migration/clients; each is raised again `from` the original as one of these.
"""

from __future__ import annotations

from collections.abc import Sequence


class BluegreenError(Exception):
    """`remedy` is the next command or edit; it is printed on a line of its own."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class ConfigError(BluegreenError):
    exit_code = 2


class Held(BluegreenError):
    exit_code = 3


class TakenBack(BluegreenError):
    exit_code = 4

    def __init__(self, message: str, *, services: Sequence[str] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.services = tuple(services)


class Locked(BluegreenError):
    exit_code = 5


class LostFence(Locked):
    pass


class Interrupted(BluegreenError):
    exit_code = 130


class ForeignWrite(BluegreenError):
    """`who` names the manager (or the file); `target` is the service or file that is not as we left it."""

    exit_code = 3

    def __init__(self, message: str, *, target: str, who: str, when: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.target = target
        self.who = who
        self.when = when


class Temporary(BluegreenError):
    def __init__(self, message: str, *, retry_after_seconds: float = 1.0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_seconds = retry_after_seconds


class Unreachable(Temporary):
    pass


class Permanent(BluegreenError):
    pass


class NotFound(Permanent):
    pass


class Conflict(Permanent):
    """`managers` and `fields`: who owns what a server-side apply asked for; both empty for a stale resourceVersion."""

    def __init__(
        self,
        message: str,
        *,
        managers: Sequence[str] = (),
        fields: Sequence[str] = (),
        exists: bool = False,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.managers = tuple(managers)
        self.fields = tuple(fields)
        self.exists = exists


class Forbidden(Permanent):
    def __init__(self, message: str, *, status: int = 403, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class Rejected(Permanent):
    def __init__(
        self,
        message: str,
        *,
        status: int = 422,
        reason: str = "",
        causes: Sequence[str] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.reason = reason
        self.causes = tuple(causes)
