"""raysweep: when does forcing multimodal representations to align help, and how hard?"""

__version__ = "0.1.0"
