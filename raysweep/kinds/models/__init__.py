"""The kind of study that measures pretrained models against each other, from their features."""
