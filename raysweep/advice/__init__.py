"""From a data file to a study, and to advice: what `raysweep init` and `advise` do."""
