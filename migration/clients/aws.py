"""One way to ask AWS: whatever boto3 and botocore raise becomes one of the command's own errors, told by the caller's name for
the service.

Error codes: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and the Errors section of each call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from migration.discretion import without_passwords
from migration.errors import BluegreenError, ConfigError, Forbidden, NotFound, Rejected, Unreachable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

T = TypeVar("T")
REFUSED = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature",
        "InvalidClientTokenId", "InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken", "NotAuthorized",
        "OptInRequired", "SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClientException",
    }
)  # fmt: skip
GONE = frozenset({"NoSuchChange", "NoSuchEntity", "NoSuchHostedZone", "ResourceNotFoundException"})
BUSY = frozenset(
    {
        "InternalError", "InternalFailure", "PriorRequestNotComplete", "RequestLimitExceeded", "RequestThrottled",
        "RequestTimeout", "RequestTimeoutException", "ServerException", "ServiceFailure", "ServiceUnavailable",
        "ServiceUnavailableException", "SlowDown", "ThrottledException", "Throttling", "ThrottlingException",
        "TooManyRequestsException",
    }
)  # fmt: skip
# of botocore, by name: about who we are and where to ask, before anything is sent
SET_UP = frozenset(
    {
        "ConfigNotFound", "ConfigParseError", "CredentialRetrievalError", "InfiniteLoopConfigError", "InvalidConfigError",
        "InvalidDefaultsMode", "InvalidRegionError", "InvalidRetryConfigurationError", "InvalidRetryModeError",
        "InvalidProxiesConfigError", "InvalidMaxRetryAttemptsError", "InvalidSTSRegionalEndpointsConfigError",
        "InvalidIMDSEndpointError", "InvalidIMDSEndpointModeError", "LoginError", "LoginInsufficientPermissions",
        "LoginRefreshRequired", "LoginTokenLoadError", "LoginAuthorizationCodeError", "NoAuthTokenError",
        "NoCredentialsError", "NoRegionError", "PartialCredentialsError", "PendingAuthorizationExpiredError",
        "ProfileNotFound", "RefreshWithMFAUnsupportedError", "SSOError", "SSOTokenLoadError", "TokenRetrievalError",
        "UnauthorizedSSOTokenError", "UnknownCredentialError",
    }
)  # fmt: skip
MOST = 500  # of what AWS, or whatever answers in its place, says
GONE_REMEDY = "check the name, and whose AWS account this is (`aws sts get-caller-identity`)"
LOG_IN = "set AWS credentials as for the AWS CLI (`aws sts get-caller-identity` shows whose they are)"


def call(service: str, act: Callable[[], T], *, if_gone: str = GONE_REMEDY) -> T:
    """What `act` gives. `service`: for messages; `if_gone`: what to do where AWS has no such thing.

    Raises:
        Forbidden: AWS refuses who we are.
        NotFound: it has no such thing.
        ConfigError: there are no credentials, or the AWS configuration cannot be used.
        Unreachable: no answer, or "later".
        Rejected: it refuses, or what answers is not AWS.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        return act()
    except BluegreenError:
        raise
    except ClientError as problem:
        raise _refusal(service, problem, if_gone) from problem
    except (BotoCoreError, Boto3Error) as problem:
        if type(problem).__name__ in SET_UP:
            raise ConfigError(f"{service}: {_said(problem)}", remedy=LOG_IN) from problem
        raise Unreachable(f"{service} does not answer: {_said(problem)}", remedy=LOG_IN) from problem
    except (ResponseParserError, LookupError, TypeError, AttributeError) as problem:
        raise Rejected(
            f"{service}: what answers is not AWS, or of another shape than it describes: {_said(problem)}",
            remedy="check AWS_ENDPOINT_URL, and proxies on the way (HTTPS_PROXY)",
        ) from problem
    except ValueError as problem:  # of a credential program's output, or of an endpoint's URL, among others
        raise ConfigError(f"{service}: the AWS configuration cannot be used: {_said(problem)}", remedy=LOG_IN) from problem
    except Exception as problem:  # what lies below botocore: sockets, TLS, credential programs
        raise Unreachable(f"{service} does not answer: {_said(problem)}", remedy=LOG_IN) from problem


def _refusal(service: str, problem: ClientError, if_gone: str) -> BluegreenError:
    response: dict[str, Any] = dict(problem.response or {})
    code = str((response.get("Error") or {}).get("Code", ""))
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0
    message = f"{service}: {_said(problem)}"
    if code in REFUSED:
        return Forbidden(message, status=403, remedy=LOG_IN)
    if code in BUSY:
        return Unreachable(message, remedy="the same command again, later")
    if code in GONE:
        return NotFound(message, remedy=if_gone)
    if status in (401, 403):
        return Forbidden(message, status=status, remedy=LOG_IN)
    if status == 429 or status >= 500:
        return Unreachable(message, remedy="the same command again, later")
    return Rejected(message, status=status or 400, reason=code, remedy="see what AWS says of it above")


def _said(problem: Exception) -> str:
    said = without_passwords(" ".join(str(problem).split())) or type(problem).__name__
    return said if len(said) <= MOST else said[:MOST] + "..."
