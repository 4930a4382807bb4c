"""Every way in which the command can fail, split by what the caller should do about it.

    BluegreenError                     exit 1   what, where, value against allowed, next command
    ├── UsageError                     exit 2   the command line is wrong; nothing was changed
    ├── ConfigError                    exit 2   a file or an option is wrong; nothing was changed
    ├── Held                           exit 3   a gate or a finding holds
    ├── TakenBack                      exit 4   a service went back unasked
    ├── Locked                         exit 5   somebody else holds the migration's lock
    │   └── LostFence                  exit 5   somebody took the lock over while we worked
    ├── Interrupted                    exit 130 asked to stop; the state is saved
    ├── StoreError                     exit 1   what the migration keeps on disk cannot be read or written
    ├── InternalError                  exit 1   a fault of this program
    ├── ForeignWrite                   exit 3   a file or weight was changed by somebody else; frozen
    ├── Temporary                      exit 1   worth another try after `retry_after_seconds`
    │   └── Unreachable                         no answer, or not in time
    │       └── LoginFailed                     the credential program of a kubeconfig gave no credentials
    └── Permanent                      exit 1   the same request will fail again
        ├── NotFound
        ├── Conflict                            another owner of the fields, or a stale resourceVersion
        ├── Forbidden                           401 and 403
        └── Rejected                            understood and refused

`kind` is the word for it in `--json`: {"error": {"kind", "message", "remedy", "exit_code"}}, described in
docs/reference/json.md. No exception of a client's library leaves migration/clients; each is raised again `from` the
original as one of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class BluegreenError(Exception):
    """`remedy` is the next command or edit; it is printed on a line of its own. `usual`: that of the kind, for what nobody
    on the way knew better.
    """

    kind: ClassVar[str] = "failed"
    usual: ClassVar[str | None] = None
    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "message": str(self), "remedy": self.remedy or self.usual, "exit_code": self.exit_code}


class UsageError(BluegreenError):
    kind = "usage"
    exit_code = 2


class ConfigError(BluegreenError):
    kind = "config"
    exit_code = 2


class StoreError(BluegreenError):
    """Of the store's folder, the stack file or the folder of original routes: no space, no right, a file in its place."""

    kind = "store"


class InternalError(BluegreenError):
    kind = "internal"


class Held(BluegreenError):
    kind = "held"
    exit_code = 3


class TakenBack(BluegreenError):
    kind = "taken-back"
    exit_code = 4

    def __init__(self, message: str, *, services: Sequence[str] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.services = tuple(services)


class Locked(BluegreenError):
    kind = "locked"
    exit_code = 5


class LostFence(Locked):
    kind = "lost-fence"


class Interrupted(BluegreenError):
    kind = "interrupted"
    exit_code = 130


class ForeignWrite(BluegreenError):
    """`who` names the manager (or the file); `target` is the service or file that is not as we left it."""

    kind = "foreign-write"
    exit_code = 3

    def __init__(self, message: str, *, target: str, who: str, when: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.target = target
        self.who = who
        self.when = when


class Temporary(BluegreenError):
    kind = "temporary"
    usual = "the same command again, later"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_seconds = retry_after_seconds


class Unreachable(Temporary):
    kind = "unreachable"


class LoginFailed(Unreachable):
    """It ran: a login has expired, or the service behind it is out. One that cannot be run is a ConfigError."""

    kind = "login-failed"


class Permanent(BluegreenError):
    kind = "permanent"
    usual = "put right what is named, then the same command again"


class NotFound(Permanent):
    kind = "not-found"
    usual = "check the name, and whether the kubeconfig leads to the cluster that is meant (`bluegreen status`)"


class Conflict(Permanent):
    """`managers` and `fields`: who owns what a server-side apply asked for; both empty for a stale resourceVersion."""

    kind = "conflict"
    usual = "see whose it is (kubectl get --show-managed-fields), then the same command again"

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
    kind = "forbidden"
    usual = "log in again, or get the right to it (docs/permissions.md)"

    def __init__(self, message: str, *, status: int = 403, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class Rejected(Permanent):
    kind = "rejected"

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
