"""Every way in which a cluster cannot be reached, split by what the caller can do about it.

AccessError
├── BadKubeconfig     the file is wrong: only an edit helps
│   └── Unusable      it leads to a server, but what it says of trust, user or proxy cannot be used
├── NoCredentials     there are none to be had: the credential program cannot be run, a token is none
└── Unanswered        not reached, or not in time: worth another try
    ├── NotGiven      the credential program ran and gave none, as while a login service is out: log in, or later
    ├── Late          the time limit passed
    └── Broken        the connection broke: whether the request was done is not known
"""

from __future__ import annotations


class AccessError(Exception):
    """`remedy` is the next command or edit. Neither text has a secret in it."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class BadKubeconfig(AccessError):
    pass


class Unusable(BadKubeconfig):
    pass


class NoCredentials(AccessError):
    pass


class Unanswered(AccessError):
    pass


class NotGiven(Unanswered):
    pass


class Late(Unanswered):
    pass


class Broken(Unanswered):
    pass
