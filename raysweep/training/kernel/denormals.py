"""Denormal floats, the ones too small for all digits, taken for 0 while the kernel is at work.

Gradients of a fitted model fall into their range, where a processor takes a hundred times as long
for an operation. The mode belongs to the thread; the kernel sets it and puts back what it found.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_MACHINE = llvm.get_process_triple().partition("-")[0]
_I32, _I64 = ir.IntType(32), ir.IntType(64)

# Results and operands of MXCSR, "flush to zero" and "denormals are zero" (Intel SDM, volume 1,
# section 10.2.3); FZ of FPCR (Arm Architecture Reference Manual, FPCR).
_X86_BITS = 1 << 15 | 1 << 6
_ARM_BITS = 1 << 24


def _read(builder: Any) -> Any:
    """The thread's floating-point mode, 64 bits; 0 on machines that are left as they are."""
    if _MACHINE == "x86_64":
        place = cgutils.alloca_once(builder, _I32)
        _call_x86(builder, "llvm.x86.sse.stmxcsr", place)
        return builder.zext(builder.load(place), _I64)
    if _MACHINE in ("aarch64", "arm64"):
        kind = ir.FunctionType(_I64, [])
        return builder.asm(kind, "mrs $0, fpcr", "=r,~{memory}", [], side_effect=True)
    return _I64(0)


def _write(builder: Any, mode: Any) -> None:
    if _MACHINE == "x86_64":
        place = cgutils.alloca_once(builder, _I32)
        builder.store(builder.trunc(mode, _I32), place)
        _call_x86(builder, "llvm.x86.sse.ldmxcsr", place)
    elif _MACHINE in ("aarch64", "arm64"):
        kind = ir.FunctionType(ir.VoidType(), [_I64])
        builder.asm(kind, "msr fpcr, $0", "r,~{memory}", [mode], side_effect=True)


def _call_x86(builder: Any, name: str, place: Any) -> None:
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [builder.bitcast(place, pointer)])


@intrinsic  # type: ignore[untyped-decorator]
def flush_denormals(context: Any) -> Any:
    """From here on denormal operands and results are 0; returns the mode before, an int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        before = _read(builder)
        bits = _X86_BITS if _MACHINE == "x86_64" else _ARM_BITS
        _write(builder, builder.or_(before, _I64(bits)))
        return before

    return types.int64(), generate


@intrinsic  # type: ignore[untyped-decorator]
def restore_mode(context: Any, mode: Any) -> Any:
    """Put back the mode that `flush_denormals` returned."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _write(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate
