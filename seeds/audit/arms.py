"""Arms: what stands behind "assembled", "original" and "fresh" under a protocol.

protocol -> [arms] -> classifier, language
"""

from seeds.audit.protocol import Protocol
from seeds.codecs import parse
from seeds.measure import FRESH, ORIGINAL, PUBLISHED_ONLY
from seeds.subject import Subject

ASSEMBLED = "assembled"  # the arm whose codec the protocol decides


def codec_of(one: Subject, arm: str, protocol: Protocol) -> str:
    """What an arm is made of under a protocol: a codec, "original" or "fresh"."""
    if arm != ASSEMBLED:
        return arm
    return PUBLISHED_ONLY if one.body else protocol.codec


def draws(codec: str) -> bool:
    """Whether the bodies of this arm differ from run to run."""
    return codec == FRESH or (codec != ORIGINAL and parse(codec).draws)
