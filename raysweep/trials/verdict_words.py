"""What a person reads for a verdict, in prose and legends; tables and tags keep its value."""

from collections.abc import Mapping
from types import MappingProxyType

VERDICT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "helps": "helps",
        "hurts": "hurts",
        "equivalent": "no difference",
        "inconclusive": "not known",
        "untested": "not tested",
    }
)
"""Value -> words, in the order in which legends have them."""
