"""`raysweep_analysis`, found where a user of raysweep looks first.

Its own name is not `analysis`: too many projects have a package of that name, and whichever is
first on the path would be taken for the other.
"""

import sys

import raysweep_analysis

sys.modules[__name__] = raysweep_analysis
