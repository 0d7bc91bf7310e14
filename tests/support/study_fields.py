"""The fields of studies."""

from pydantic import BaseModel


def fields(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all fields of a study, down to the leaves."""
    found = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found += fields(annotation, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found
