"""MQTT topics as the NATS server spells them: `/` is `.`, an empty level is `/`, a dot is `//`."""

import re

from proximity.ingest.mqtt import TOPICS

_PREFIXES = ("$MQTT.msgs.", "$MQTT.rmsgs.")
# What we read, as one pattern: what we publish ourselves comes by the same stream, under a topic for each shopper.
_WANTED = re.compile("|".join(re.escape(topic).replace(r"\+", "[^/]*") for topic in TOPICS))


def subject_of(topic_filter: str) -> str:
    """The subject of a filter whose levels are plain words or `+`."""
    return ".".join({"": "/", "+": "*"}.get(level, level) for level in topic_filter.split("/"))


def topic_of(subject: bytes) -> str | None:
    """The topic of a message in one of the server's MQTT streams, or published just now; None: it is not for us."""
    text = subject.decode(errors="replace")
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    topic = "/".join("" if level == "/" else level.replace("//", ".") for level in text.split("."))
    return topic if _WANTED.fullmatch(topic) else None
