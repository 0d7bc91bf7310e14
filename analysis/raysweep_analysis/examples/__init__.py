"""Walks from a trial table to every figure, on tables that come with the package."""

from pathlib import Path

EMERGENCE = Path(__file__).parent / "emergence.parquet"
"""Pairs of the study ``paper/figure4_6_7_9``, as far as it was run (see RESULTS.md beside it)."""

DRAWS = Path(__file__).parent / "draws.parquet"
"""Pairs of the study ``paper/figure4_6_7_9_small``: three dataset draws."""

FORCING = Path(__file__).parent / "forcing.parquet"
"""Search and confirm rows of the study ``forcing_untuned``, by its name of then: ``forcing``."""

TUNED = Path(__file__).parent / "forcing_tuned.parquet"
"""All rows of the study ``forcing``, whose baseline is tuned."""

FOLLOWUP_TUNED = Path(__file__).parent / "followup_tuned.parquet"
"""All rows of ``followup/strength_by_redundancy_tuned``, with 512 and with 4,096 training rows."""

FOLLOWUP = Path(__file__).parent / "followup.parquet"
"""Search and confirm rows of the study ``followup/strength_by_redundancy``, once it was run."""
