"""What the S3 SDK and its services raise, in our own words: never a key, a signature or an object's name."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import NotFound, PilothouseError, StoreRefused, StoreUnavailable

RETRY_AFTER = 5.0
MISSING = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchUpload"})
BUSY = frozenset({"SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "Throttling", "ThrottlingException", "429"})
CREDENTIALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthorizationHeaderMalformed")
FULL = ("InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "507")
REFUSALS = (
    (("NoSuchBucket",), 'has no bucket "{bucket}": create it there, or set set_policy = true'),
    (CREDENTIALS, "does not accept our key ({code}): check access_key, secret_key and region"),
    (FULL, 'has no room in bucket "{bucket}" ({code}): make some, or raise its quota'),
    (("RequestTimeTooSkewed",), "finds our clock wrong: set this machine's time"),
    (
        ("AccessDenied", "AllAccessDisabled", "403"),
        'forbids our key to do this in bucket "{bucket}" ({code}): grant it the right',
    ),
)
"""By the code that a service gives; for a HEAD that is only the status."""


@contextmanager
def in_our_words(place: str, bucket: str) -> Iterator[None]:
    """Raises ``StoreUnavailable``, ``StoreRefused`` or ``NotFound`` in place of the SDK's own errors."""
    from botocore import exceptions as sdk  # noqa: PLC0415  (as in s3_client)

    store = f"The object store at {place}"
    try:
        yield
    except sdk.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise refusal(code, error.response["ResponseMetadata"]["HTTPStatusCode"], place, bucket) from error
    except sdk.SSLError as error:
        raise StoreRefused(f"{store} has a certificate that is not trusted: name its CA's file in ca_file.") from error
    except sdk.ProxyConnectionError as error:
        raise StoreUnavailable(f"{store} was not reached through the proxy.", retry_after=RETRY_AFTER) from error
    except (sdk.HTTPClientError, sdk.ConnectionError, sdk.IncompleteReadError, OSError) as error:
        raise StoreUnavailable(f"{store} does not answer; try again in a moment.", retry_after=RETRY_AFTER) from error
    except (sdk.BotoCoreError, sdk.ParamValidationError, ValueError) as error:
        what = f"{store} cannot be asked ({type(error).__name__})"
        raise StoreRefused(f"{what}: check its endpoint, region, bucket and keys.") from error


def refusal(code: str, status: int, place: str, bucket: str) -> PilothouseError:
    """The error for what a service answered."""
    store = f"The object store at {place}"
    if code in MISSING:
        return NotFound("There is no object of that key.")
    for codes, text in REFUSALS:
        if code in codes:
            return StoreRefused(f"{store} {text.format(bucket=bucket, code=code)}.")
    if code in BUSY or status == 429 or status >= 500:
        what = f"{store} is overloaded or failing ({code or status})"
        return StoreUnavailable(f"{what}; try again in a moment.", retry_after=RETRY_AFTER)
    return StoreRefused(f'{store} refused a request for bucket "{bucket}" ({code or status}): check its address and settings.')
