"""Where a model lies: a folder or file of the user's, code of theirs, or a name on a hub."""

import importlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from raysweep.errors import InputError
from raysweep.features.recipe import digest_of_files, digest_of_model
from raysweep.plugins.user_code import is_dotted

_SENTENCES = "modules.json"
_SENTENCE_LIMIT = "sentence_bert_config.json"
_CONFIG, _OPEN_CLIP = "config.json", "open_clip_config.json"


@dataclass(frozen=True)
class Source:
    """A model as it was given.

    Attributes:
        given: the user's words.
        path: the folder or ``.gguf`` file, None where it is a name on the hub.
        repository: the name on the hub, ``organisation/name``.
        revision: a branch, tag or commit there.
        code: ``package.module:function``, whose function returns the model.
        folder: the working folder, from which code is imported on a worker, too.
    """

    given: str
    path: Path | None
    repository: str = ""
    revision: str = "main"
    code: str = ""
    folder: Path = Path()

    @classmethod
    def of(cls, given: str) -> "Source":
        """What the user means.

        Raises:
            InputError: neither a folder nor a name that a hub could have.
        """
        path = Path(given).expanduser()
        if path.exists():
            if path.is_dir() or path.suffix == ".gguf":
                return cls(given, path.resolve())
            raise InputError(f"{given}: is a file, expected the folder of a model, or a .gguf file")
        if is_dotted(given):
            return cls(given, None, code=given, folder=Path.cwd())
        name, _, revision = given.partition("@")
        parts = name.split("/")
        if given.startswith((".", "/", "~")) or len(parts) > 2 or not all(parts):
            raise InputError(
                f"{given}: no such folder; give one with a config.json and weights, a name on the "
                "Hugging Face hub, such as openai-community/gpt2, or package.module:function"
            )
        return cls(given, None, name, revision or "main")

    @property
    def label(self) -> str:
        """What its files are called by."""
        if self.path is not None:
            return self.path.stem if self.path.is_file() else self.path.name
        return (self.code or self.repository).replace("/", "--").replace(":", ".")

    @cached_property
    def is_open_clip(self) -> bool:
        """Whether open_clip alone reads it; what transformers reads, too, is read by that."""
        if self.path is None or not (self.path / _OPEN_CLIP).is_file():
            return False
        return not (self.path / _CONFIG).is_file()

    @cached_property
    def place(self) -> dict[str, Any]:
        """How transformers is told of it, save for the first argument: what is local stays so."""
        if self.path is None:
            return {"revision": self.revision}
        gguf = {"gguf_file": self.path.name} if self.path.is_file() else {}
        return {"local_files_only": True, **gguf}

    @property
    def name(self) -> str:
        """What transformers takes as the first argument."""
        if self.path is None:
            return self.repository
        return str(self._folder)

    @cached_property
    def _folder(self) -> Path:
        """The folder of the transformer, which of sentence-transformers may be one within."""
        assert self.path is not None
        if self.path.is_file():
            return self.path.parent
        modules = self.path / _SENTENCES
        if not modules.is_file():
            return self.path
        try:
            first = json.loads(modules.read_text(encoding="utf-8"))[0]["path"]
            inside = (self.path / first).resolve()
        except (ValueError, LookupError, TypeError, OSError) as error:
            raise InputError(
                f"{modules}: is no list of modules, expected what sentence-transformers writes"
            ) from error
        if not inside.is_relative_to(self.path):
            raise InputError(f"{modules}: leads out of its folder, to {first}")
        return inside

    @cached_property
    def sentence_limit(self) -> int | None:
        """How many tokens sentence-transformers lets a text have; None elsewhere."""
        if self.path is None or self.path.is_file():
            return None
        try:
            found = json.loads((self._folder / _SENTENCE_LIMIT).read_text(encoding="utf-8"))
            return int(found["max_seq_length"])
        except (ValueError, LookupError, TypeError, OSError):
            return None

    @cached_property
    def weights(self) -> str:
        """What tells its weights from others: a digest of its files, or the hub's commit."""
        if self.path is None:
            commit = getattr(self.config, "_commit_hash", None)
            return f"commit:{commit or self.revision}"
        if self.path.is_file():
            return digest_of_files([self.path])
        return digest_of_model(self.path)

    @cached_property
    def config(self) -> Any:
        """Its configuration.

        Raises:
            InputError: there is none, or of an architecture that transformers does not know.
        """
        auto = transformers().AutoConfig
        try:
            return auto.from_pretrained(self.name, **self.place)
        except (OSError, ValueError, KeyError) as error:
            words = " ".join(str(error).split())[:300]
            raise InputError(
                f"{self.given}: is no model that transformers reads ({words}); expected a "
                "folder that save_pretrained wrote, or a name on the hub"
            ) from error

    def loaded(self, auto: Any, what: str, **options: Any) -> Any:
        """What a class of transformers makes of it.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return auto.from_pretrained(self.name, **self.place, **options)
        except (OSError, ValueError, KeyError, ImportError) as error:
            words = " ".join(str(error).split())[:300]
            raise InputError(f"{self.given}: its {what} cannot be read ({words})") from error

    def loaded_model(self, cls: Any, dtype: Any) -> Any:
        """The model with all of its weights.

        Raises:
            InputError: weights are missing, so that some would be random, or it cannot be read.
        """
        model, told = self.loaded(cls, "weights", dtype=dtype, output_loading_info=True)
        # What is read off the states behind all layers is not needed.
        missing = sorted(key for key in told["missing_keys"] if "pooler" not in key)
        missing += sorted(str(key) for key in told.get("mismatched_keys", ()))
        if missing:
            raise InputError(
                f"{self.given}: {len(missing)} of the weights of {type(model).__name__} are not in "
                f"its files and would be random, such as {missing[0]}; give the folder of a whole "
                "model"
            )
        return model.eval()


def transformers() -> Any:
    """The library, without its reports and progress bars.

    Raises:
        InputError: it is not installed.
    """
    try:
        library = importlib.import_module("transformers")
    except ImportError as error:
        raise InputError(
            f"features of pretrained models need transformers ({error}); "
            "install it with: pip install 'raysweep[features]'"
        ) from error
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    return library
