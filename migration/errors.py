"""Every way in which the command can fail, split by what the caller should do about it.

`kind` is the word for it in `--json`: {"error": {"kind", "message", "remedy", "exit_code"}}. `means` and `then` are what
docs/reference/errors.md says of it: what has happened, and what the caller does; that page and the table of
docs/reference/json.md are made from the classes here (`python -m migration.views.reference`).

No exception of a client's library leaves migration/clients; each is raised again `from` the original as one of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class BluegreenError(Exception):
    """`remedy` is the next command or edit; it is printed on a line of its own. `usual`: that of the kind, for what nobody
    on the way knew better.
    """

    kind: ClassVar[str] = "failed"
    means: ClassVar[str] = "some of it could not be done; the message has a line for each"
    then: ClassVar[str] = "reads it; `rollback`: the same command again"
    usual: ClassVar[str | None] = None
    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy

    def as_json(self) -> dict[str, Any]:
        """As `error` of a command's document has it."""
        return {"kind": self.kind, "message": str(self), "remedy": self.remedy or self.usual, "exit_code": self.exit_code}


class UsageError(BluegreenError):
    kind = "usage"
    means = "the command line is wrong; nothing was changed"
    then = "corrects it"
    exit_code = 2


class ConfigError(BluegreenError):
    kind = "config"
    means = "a file or an option is wrong, or a credential program cannot be run; nothing was changed"
    then = "edits what is named"
    exit_code = 2


class StoreError(BluegreenError):
    """Of the store's folder, the stack file or the folder of original routes: no space, no right, a file in its place."""

    kind = "store"
    means = "a disk refuses what the migration keeps: no space, no right, a file in a folder's place"
    then = "makes room or right, then the same command again"


class InternalError(BluegreenError):
    kind = "internal"
    means = "a fault of bluegreen; the traceback is on stderr"
    then = "reports it (SECURITY.md says how)"


class Held(BluegreenError):
    kind = "held"
    means = "a gate or a finding holds, or a plan was only shown"
    then = "answers what is asked, or adds `--yes`"
    exit_code = 3


class TakenBack(BluegreenError):
    kind = "taken-back"
    means = "a service was rolled back automatically; the others continued"
    then = "fixes it, then `bluegreen shift --retry SERVICE`"
    exit_code = 4

    def __init__(self, message: str, *, services: Sequence[str] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.services = tuple(services)


class Locked(BluegreenError):
    kind = "locked"
    means = "another process holds the migration's lock"
    then = "waits, or `bluegreen rollback`"
    exit_code = 5


class LostFence(Locked):
    kind = "lost-fence"
    means = "another process took the migration over; nothing more is changed"
    then = "`bluegreen status`"


class Interrupted(BluegreenError):
    kind = "interrupted"
    means = "asked to stop; the state is saved"
    then = "the same command continues"
    exit_code = 130


class ForeignWrite(BluegreenError):
    """`who` names the manager (or the file); `target` is the service or file that is not as we left it."""

    kind = "foreign-write"
    means = "a file, route or weight was changed by another client; frozen"
    then = "looks who did, then `bluegreen shift` or `bluegreen shift --reassert SERVICE`"
    exit_code = 3

    def __init__(self, message: str, *, target: str, who: str, when: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.target = target
        self.who = who
        self.when = when


class Temporary(BluegreenError):
    kind = "temporary"
    means = "worth another try"
    then = "the same command again, later"
    usual = "the same command again, later"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_seconds = retry_after_seconds


class Unreachable(Temporary):
    kind = "unreachable"
    means = "no answer, or not in time"
    then = "checks the way there; the same command again"


class LoginFailed(Unreachable):
    """It ran: a login has expired, or the service behind it is out. One that cannot be run is a ConfigError."""

    kind = "login-failed"
    means = "the credential program of a kubeconfig ran and gave no credentials: a login has expired, or SSO or STS is out"
    then = "logs in again; the same command again, later"


class Permanent(BluegreenError):
    kind = "permanent"
    means = "the same request will fail again"
    then = "puts right what is named"
    usual = "put right what is named, then the same command again"


class NotFound(Permanent):
    """`of`: of which kind what is missing is, as the API server says it (`namespaces`); "" where it does not."""

    kind = "not-found"
    means = "there is no such thing on the cluster or in the account"
    then = "checks name, cluster and account"
    usual = "check the name, and whether the kubeconfig leads to the cluster that is meant (`bluegreen status`)"

    def __init__(self, message: str, *, of: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.of = of


class Conflict(Permanent):
    """`managers` and `fields`: who owns what a server-side apply asked for; both empty for a stale resourceVersion."""

    kind = "conflict"
    means = "another owner of the fields, or it changed meanwhile"
    then = "checks who owns it; the same command again"
    usual = "see who owns it (kubectl get --show-managed-fields), then the same command again"

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
    means = "an API refused the credentials (401) or the right (403)"
    then = "logs in again, or gets the right (docs/reference/permissions.md)"
    usual = "log in again, or get the right to it (docs/reference/permissions.md)"

    def __init__(self, message: str, *, status: int = 403, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class Rejected(Permanent):
    kind = "rejected"
    means = "an API understood and refused"
    then = "puts right what is named"

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
