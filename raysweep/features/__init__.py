"""Features of all layers of pretrained models, from a table of texts and images."""
