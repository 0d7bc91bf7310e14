"""Paired multimodal datasets whose information about the label is known."""
