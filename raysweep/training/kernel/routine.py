"""Parts of the CPU kernel that are compiled by themselves, and how compiled code calls them.

Numba copies, optimises and translates a nested function again for every function above it. A
routine is compiled once for an element type, kept in a file of its own, and called by its name or
by its address, so that a run compiles only what it uses.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic


def _digest() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


DIGEST = _digest()
"""Digest of the kernel's sources.

Numba's cache looks at the file of the compiled function alone. So whatever it keeps on disk gets
this digest into its closure, which the cache's key includes.
"""

nested = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Decorates a function that only compiled code calls."""

Kinds = Callable[[Any], Sequence[Any]]
"""Of an element type: Numba's types of the arguments."""


def arena(element: Any) -> Any:
    """The type of a member's arena, of its losses, of its labels."""
    return types.Array(element, 1, "C")


class Routine:
    """A function that is compiled by itself.

    Args:
        make: from the sources' digest to the Python function, in whose closure the digest is. Its
            first argument is the arena.
        kinds: the types of the others, by the arena's element type.
        returned: the type of what it returns.

    Attributes:
        name: of the routine.
        call: calls it by name in compiled code, once it is loaded for the arena's type.
    """

    def __init__(self, make: Callable[[str], Any], kinds: Kinds, returned: Any) -> None:
        self._function = make(DIGEST)
        self.name = make.__name__.strip("_")
        self._kinds = kinds
        self._returned = returned
        self._addresses: dict[Any, int] = {}
        self._kept: list[Any] = []
        self.call = self._caller()

    def load(self, element: Any) -> int:
        """Its address for arenas of an element type; compiled, or loaded from disk, if need be."""
        if element not in self._addresses:
            signature = self._returned(arena(element), *self._kinds(element))
            compiled = cfunc(signature, cache=True, error_model="numpy")(self._function)
            self._kept.append(compiled)
            llvm.add_symbol(self._symbol(element), compiled.address)
            self._addresses[element] = compiled.address
        return self._addresses[element]

    def _symbol(self, element: Any) -> str:
        return f"raysweep.{self.name}.{element}"

    def _caller(self) -> Callable[..., Any]:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            mem, given = signature.args
            kind = _function_type(context, signature.return_type, (mem, *given.types))
            name = self._symbol(mem.dtype)
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            values = (args[0], *cgutils.unpack_tuple(builder, args[1]))
            return builder.call(function, values)

        @intrinsic  # type: ignore[untyped-decorator]
        def call(context: Any, mem: Any, *given: Any) -> Any:
            kinds = types.StarArgTuple(tuple(self._kinds(mem.dtype)))
            return self._returned(mem, kinds), generate

        return call  # type: ignore[no-any-return]


def routine(kinds: Kinds, returned: Any = types.void) -> Callable[[Callable[[str], Any]], Routine]:
    """Decorate what makes a routine's function."""
    return lambda make: Routine(make, kinds, returned)


def caller(kinds: Kinds, returned: Any) -> Callable[..., Any]:
    """Calls any routine of these types in compiled code: (address, arena, *arguments)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, mem, given = signature.args
        kind = _function_type(context, signature.return_type, (mem, *given.types))
        function = builder.inttoptr(args[0], kind.as_pointer())
        values = (args[1], *cgutils.unpack_tuple(builder, args[2]))
        return builder.call(function, values)

    @intrinsic  # type: ignore[untyped-decorator]
    def call(context: Any, address: Any, mem: Any, *given: Any) -> Any:
        taken = types.StarArgTuple(tuple(kinds(mem.dtype)))
        return returned(types.int64, mem, taken), generate

    return call  # type: ignore[no-any-return]


def _function_type(context: Any, returned: Any, kinds: Any) -> Any:
    """As Numba declares a `cfunc`."""
    values = [context.get_value_type(kind) for kind in kinds]
    return ir.FunctionType(context.get_value_type(returned), values)
