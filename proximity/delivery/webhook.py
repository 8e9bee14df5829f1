"""Offers posted to the shop's own system, signed.

    POST <url>
    Content-Type: application/json
    Proximity-Delivery: <id>        the same on every attempt: what was seen already may be ignored
    Proximity-Timestamp: <seconds>  since the epoch, when this attempt was signed
    Proximity-Signature: v1=<hex>   HMAC-SHA256 with the shared key over "<timestamp>.<body>"

The body is {"type": "offer" or "offer.withdrawn", "delivery": id, "offer": {…}} with the fields of `model.Offer`. Any
2xx answer takes it. 408, 425, 429, 5xx and a lost connection are tried again, not before Retry-After if there is one;
any other answer, also a redirect, is final. A receiver calls `verify` before it believes anything.
"""

import contextlib
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from proximity.delivery.channel import RetryLaterError
from proximity.errors import BadMessage, DeliveryError
from proximity.model import Offer
from proximity.store.outbox import Delivery

DELIVERY = "proximity-delivery"
TIMESTAMP = "proximity-timestamp"
SIGNATURE = "proximity-signature"
TOLERANCE = 300.0  # s between signing and receiving: clocks of two servers, and a slow line
TIMEOUT = 5.0  # s for connecting and for each wait for bytes; an offer is worth little after that
MAX_RETRY_AFTER = 3600.0  # s; an offer has long expired by then
MAX_ANSWER = 4096  # bytes of an answer that are read
MAX_DETAIL = 200  # characters of it that are kept as the error

AGAIN = frozenset({408, 425, 429})
_SIGNED = re.compile(r"v1=([0-9a-f]{64})")


class WebhookChannel:
    """`address` is the URL. Redirects are not followed: a signed offer goes where the operator said, nowhere else."""

    name = "webhook"
    parallel = 4  # a slow answer holds up three others at most, and no other channel

    def __init__(self, secret: bytes, clock: Callable[[], float], *, timeout: float = TIMEOUT) -> None:
        if not secret:
            raise ValueError("a webhook needs a key to sign with")
        self._secret = secret
        self._clock = clock
        self._client = httpx.Client(
            timeout=timeout, follow_redirects=False, headers={"user-agent": "proximity-webhook/1"}
        )

    def send(self, delivery: Delivery, offer: Offer) -> None:
        """Post {"type": "offer", …}."""
        self._post(delivery, offer, "offer")

    def withdraw(self, delivery: Delivery, offer: Offer) -> None:
        """Post {"type": "offer.withdrawn", …}."""
        self._post(delivery, offer, "offer.withdrawn")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, delivery: Delivery, offer: Offer, kind: str) -> None:
        body = msgspec.json.encode({"type": kind, "delivery": delivery.id, "offer": offer})
        self.post(delivery.id, delivery.address, body)

    def post(self, delivery: str, url: str, body: bytes) -> None:
        """Post any body, signed; `delivery` is the same on every attempt. DeliveryError when it was not taken."""
        timestamp = f"{self._clock():.0f}"
        headers = {
            "content-type": "application/json",
            DELIVERY: delivery,
            TIMESTAMP: timestamp,
            SIGNATURE: sign(self._secret, timestamp, body),
        }
        try:
            with self._client.stream("POST", url, content=body, headers=headers) as answer:
                _judge(answer, _beginning(answer))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise DeliveryError(f"the address cannot be used: {error}", retry=False) from error
        except httpx.HTTPError as error:
            raise DeliveryError(f"{type(error).__name__}: {error}", retry=True) from error


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of the signature's header."""
    return "v1=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify(secret: bytes, headers: Mapping[str, str], body: bytes, now: float, tolerance: float = TOLERANCE) -> None:
    """For receivers: return when `body`, exactly as it came, was signed with `secret` near `now`.

    BadMessage("unsigned" | "stale" | "signature") otherwise. Within the tolerance a copy of an old request passes:
    keep the ids of `Proximity-Delivery` as long, and ignore what comes twice.
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = given.get(TIMESTAMP, ""), given.get(SIGNATURE, "")
    signed = _SIGNED.fullmatch(signature.strip())
    if signed is None or not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise BadMessage("unsigned", "timestamp or signature is missing or malformed")
    if not hmac.compare_digest(sign(secret, timestamp, body), f"v1={signed[1]}"):
        raise BadMessage("signature", "body, timestamp or key differ from what was signed")
    if abs(now - int(timestamp)) > tolerance:
        raise BadMessage("stale", f"signed {now - int(timestamp):.0f} s ago")


def _beginning(answer: httpx.Response) -> str:
    """What the other side says, as far as it is worth keeping. The status line counts, also when this breaks off."""
    found = b""
    until = time.monotonic() + TIMEOUT
    with contextlib.suppress(httpx.HTTPError):
        for piece in answer.iter_bytes():
            found += piece
            if len(found) >= MAX_ANSWER or time.monotonic() > until:
                break
    return found.decode(errors="replace")[:MAX_DETAIL]


def _judge(answer: httpx.Response, said: str) -> None:
    status = answer.status_code
    if answer.is_success:
        return
    detail = f"answered {status} {answer.reason_phrase}: {said}".rstrip(": ")
    if status in AGAIN or status >= 500:
        after = retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
        if after is not None:
            raise RetryLaterError(detail, after)
        raise DeliveryError(detail, retry=True)
    if answer.is_redirect:
        detail += " (redirects are not followed: configure the address it points to)"
    raise DeliveryError(detail, retry=False)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as a date; None when it is neither. An hour at most."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER)
