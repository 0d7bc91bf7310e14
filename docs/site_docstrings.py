"""Examples of docstrings as the site shows them: as code, whether there is one or several."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Takes a section `Example:` for what griffe knows as `Examples:`."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        """Rename the section in an object's docstring."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
