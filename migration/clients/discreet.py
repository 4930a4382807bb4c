"""What may be told of an API server's refusal. Servers and admission webhooks quote what they refuse, and output, journal and
logs must not have the contents of Secrets, nor whole objects.

Of a refused write of a Secret only what is known to be harmless is told: the reason, the fields by name, and phrases that
have no room for a value. Of everything else the words stay, without the values of structures that they quote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_SECRET = re.compile(r"/api/v1/(?:namespaces/[^/]+/)?secrets(?:/|$)")
_NAME = r"[\w.:/@-]+"
# Wholly what Kubernetes itself says, names of objects and users apart.
HARMLESS = tuple(
    re.compile(pattern)
    for pattern in (
        rf'User "{_NAME}" cannot \w+ resource "{_NAME}"(?: in API group "(?:{_NAME})?")?'
        rf'(?: in the namespace "{_NAME}"| at the cluster scope)?',
        rf'(?:namespaces?|secrets?) "{_NAME}" not found',
        r"because it is being terminated",
        rf'admission webhook "{_NAME}" denied the request',
        rf'failed calling webhook "{_NAME}"',
        rf"ValidatingAdmissionPolicy '{_NAME}' with binding '{_NAME}' denied request",
        rf"exceeded quota: {_NAME}",
        r"(?i)field is immutable(?: when `immutable` is set)?",
        r"may not be (?:more|longer) than \d+ bytes|must have at most \d+ bytes",
        r"(?i)request (?:entity )?(?:is )?too large",
        r"illegal base64 data",
        r"failed to create typed patch object",
        r"duplicate entries for key",
        r"field not declared in schema",
        r"the object has been modified",
        r"already exists",
        r"Apply failed with \d+ conflicts?",
    )
)
_WORD = re.compile(r"[A-Za-z]{1,40}")
_FIELD = re.compile(r"[\w.\[\]/-]{1,120}")
# where a structure of Go, or a map, begins, as %#v and %v print them
_STRUCTURE = re.compile(r"(Invalid value: |, got )(?:([\w.*&\[\]]*+\{)|map\[)")


def of_secret(method: str, path: str) -> bool:
    """Whether this request carries a Secret's contents to the server."""
    return method in ("POST", "PUT", "PATCH") and _SECRET.match(path) is not None


def message_of(method: str, path: str, status: int, answer: Mapping[str, Any], message: str) -> str:
    """The words of a refusal that may be passed on. `message`: what the server said, or the beginning of its answer."""
    if not of_secret(method, path):
        return without_structures(message)
    parts = [reason(answer)]
    parts += causes(method, path, answer)
    parts += [match[0] for pattern in HARMLESS for match in [pattern.search(message)] if match]
    known = ", ".join(part for part in dict.fromkeys(parts) if part)
    return f"{status} {known}".strip() + " (what else the server said may quote the Secret)"


def reason(answer: Mapping[str, Any]) -> str:
    """Kubernetes' own word for the fault (`Invalid`, `AlreadyExists`); "" where it is none."""
    return _word(answer.get("reason"))


def kind(answer: Mapping[str, Any]) -> str:
    """Of which kind the object is that the answer is about (`namespaces`); "" where it does not say."""
    details = answer.get("details")
    return _word(details.get("kind")) if isinstance(details, dict) else ""


def causes(method: str, path: str, answer: Mapping[str, Any]) -> list[str]:
    """`field: why` of each cause; of a Secret the kind of fault alone."""
    return list(_causes(answer, secret=of_secret(method, path)))


def all_causes(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """`details.causes` of a Status, whatever of it is of the right shape."""
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return [cause for cause in causes if isinstance(cause, Mapping)] if isinstance(causes, list) else []


def _causes(answer: Mapping[str, Any], *, secret: bool) -> Iterator[str]:
    for cause in all_causes(answer):
        field, why = str(cause.get("field") or ""), str(cause.get("message") or "")
        if secret:
            field = field if _FIELD.fullmatch(field) else "a field"
            why = _word(cause.get("reason"))
        yield f"{field}: {without_structures(why)}".strip(": ")


def _word(code: Any) -> str:
    return str(code) if _WORD.fullmatch(str(code or "")) else ""


def without_structures(text: str) -> str:
    """From the first quoted structure to the end of the last: where one ends within others cannot be told. One that ends
    nowhere was cut off.
    """
    braces, brackets = text.rfind("}"), text.rfind("]")
    said, at = "", 0
    for structure in _STRUCTURE.finditer(text):
        if structure.start() < at:
            continue
        end = braces if structure[2] else max(braces, brackets)
        said += text[at : structure.end(1)] + "..."
        at = end + 1 if end >= structure.end() else len(text)
    return said + text[at:]
