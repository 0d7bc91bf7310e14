"""Data sets that papers publish, made into what a study or `raysweep features` takes."""
