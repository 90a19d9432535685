"""What a failed S3 call means for the person who runs the platform.

What belongs here: mapping boto3's exceptions to ours. What does not: making calls.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from lakehouse.errors import ConfigError, UnavailableError

WRONG_KEY = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "ExpiredToken",
        "AuthFailure",
        "InvalidClientTokenId",
    }
)
MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
REFUSED = frozenset({"AccessDenied", "AllAccessDisabled", "403", "Forbidden"})
PASSING = frozenset(
    {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "XMinioServerNotInitialized"}
)


@contextlib.contextmanager
def translated(where: str, key: str | None = None) -> Iterator[None]:
    """Raise our errors for boto3's.

    Args:
        where: the lake and its endpoint, for the message.
        key: the object of the call; None for calls on the bucket.

    Raises:
        FileNotFoundError: no such object.
        PermissionError: this object is refused.
        ConfigError: wrong keys, a missing bucket, or a bucket that refuses us.
        UnavailableError: the store does not answer, or asks to come back later.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ConfigError(
            f"There are no S3 credentials for the lake {where}.",
            remedy="Set LAKEHOUSE_S3_ACCESS_KEY and LAKEHOUSE_S3_SECRET_KEY.",
        ) from error
    except ClientError as error:
        raise _meaning(error.response.get("Error", {}).get("Code", ""), str(error), where, key) from error
    except Boto3Error as error:  # an upload that failed wraps the answer in its text
        text = str(error)
        code = text.partition("(")[2].partition(")")[0]
        raise _meaning(code, text, where, key) from error
    except BotoCoreError as error:
        raise _unavailable(str(error), where) from error


def _meaning(code: str, text: str, where: str, key: str | None) -> Exception:
    if code == "NoSuchBucket":
        return ConfigError(
            f"The bucket of the lake {where} does not exist.",
            remedy="Create it, or set LAKEHOUSE_LAKE_URL to the right s3://bucket[/prefix].",
        )
    if code in WRONG_KEY:
        return ConfigError(
            f"The lake {where} refuses the S3 key ({code}).",
            remedy="Mend LAKEHOUSE_S3_ACCESS_KEY and LAKEHOUSE_S3_SECRET_KEY.",
        )
    if code in MISSING:
        return FileNotFoundError(errno.ENOENT, "no such object", key)
    if code in REFUSED:
        if key is not None:
            return PermissionError(errno.EACCES, f"the lake {where} refuses access", key)
        return ConfigError(
            f"The lake {where} refuses access ({code}).",
            remedy="Check the keys (LAKEHOUSE_S3_ACCESS_KEY, LAKEHOUSE_S3_SECRET_KEY) and their policy on this bucket.",
        )
    if code in PASSING or code.startswith("5"):
        return _unavailable(text, where)
    return UnavailableError(f"The lake {where} failed: {text}", remedy="Look at the store's own log, then run again.")


def _unavailable(text: str, where: str) -> UnavailableError:
    return UnavailableError(
        f"The lake {where} cannot be reached: {text}",
        remedy="Start the object store or mend LAKEHOUSE_S3_ENDPOINT, then run again.",
    )
