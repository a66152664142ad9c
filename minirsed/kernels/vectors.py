"""A vector of numbers as a Numba type, for the inner loops of the kernels: load, store, +, −, ×, ÷, minimum, maximum.

A processor works on 2 to 16 neighbouring numbers with one instruction. Numba's compiler turns plain loops into such
code by itself, but two loops here need more than it finds: the sums of a matrix product must stay in registers
(`recurrence`), and a loop that writes eight rows must not test whether any two of them overlap (`filter_bank`). With
vectors as values those loops are still plain Python. In compiled code:

    load = loader(64)             # vectors of 64 bytes: 16 float32 or 8 float64
    v = load(x, 3)                # numbers 48 … 63 of x, if x is float32
    store(y, 0, v * x[5] + v)     # a single number is broadcast to all lanes

A vector may be longer than a register: LLVM, the compiler below Numba, then keeps it in several. So any width is
correct on any processor, and the choice is a question of speed. `v * w + u` may become one fused multiply-add
(`contract`), which rounds once instead of twice. No other fast-math flag is set: those would remove NaN tests and
reorder sums.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.errors import TypingError
from numba.extending import intrinsic, lower_builtin, register_model, type_callable


class Vector(types.Type):
    """Numba's type of `lanes` numbers of type `dtype`, which exists only in compiled code."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")

    def to_llvm(self):
        """LLVM's name for it."""
        return ir.VectorType(ir.FloatType() if self.dtype == types.float32 else ir.DoubleType(), self.lanes)


@register_model(Vector)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.to_llvm())


def loader(n_bytes):
    """A function `load(array, i)` for compiled code: vector i of `n_bytes`, counted through all dimensions."""

    @intrinsic
    def load(typing_context, array, i):
        vector = Vector(array.dtype, 8 * n_bytes // array.dtype.bitwidth)

        def codegen(context, builder, signature, args):
            return builder.load(_pointer(context, builder, array, *args, vector), align=array.dtype.bitwidth // 8)

        return vector(array, types.intp), codegen

    return load


@intrinsic
def store(typing_context, array, i, value):
    """Set vector i of an array, counted through all dimensions."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args[:2], value)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


def _pointer(context, builder, array_type, array, i, vector):
    if array_type.layout != "C" or array_type.dtype != vector.dtype:
        raise TypingError(f"{vector} cannot be loaded from or stored in {array_type}: C-contiguous, same dtype")
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, vector.to_llvm().as_pointer()), [i])


def _broadcast(builder, vector, number):
    """A vector with the same number in all lanes."""
    undefined, positions = ir.Constant(vector.to_llvm(), ir.Undefined), ir.VectorType(ir.IntType(32), vector.lanes)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(positions, [0] * vector.lanes))


def _define(operation, instruction):
    """Compile `∘` between two vectors, or a vector and a number, of one dtype, to `instruction(builder, a, b)`."""

    @type_callable(operation)
    def result_type(context):
        def of(a, b):
            if isinstance(a, Vector):
                return a if b in (a, a.dtype) else None
            return b if isinstance(b, Vector) and a == b.dtype else None

        return of

    def codegen(context, builder, signature, args):
        whole = [
            arg if own == signature.return_type else _broadcast(builder, signature.return_type, arg)
            for arg, own in zip(args, signature.args, strict=True)
        ]
        return instruction(builder, *whole)

    for pair in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        lower_builtin(operation, *pair)(codegen)


def _fusible(name):
    """An instruction of LLVM that may become part of a fused multiply-add."""
    return lambda builder, a, b: getattr(builder, name)(a, b, flags=("contract",))


def _bounded(comparison):
    """`b` where `a` compares with it so, else `a`: NaN stays NaN."""
    return lambda builder, a, b: builder.select(builder.fcmp_ordered(comparison, a, b), b, a)


for _operation, _instruction in (
    (operator.add, _fusible("fadd")),
    (operator.sub, _fusible("fsub")),
    (operator.mul, _fusible("fmul")),
    (operator.truediv, _fusible("fdiv")),
    (max, _bounded("<")),
    (min, _bounded(">")),
):
    _define(_operation, _instruction)


@intrinsic
def power_of_two(typing_context, n):
    """2ⁿ of a vector of float32 that holds whole numbers −126 … 127: they become the bits of its exponent."""

    def codegen(context, builder, signature, args):
        vector = n.to_llvm()
        whole = ir.VectorType(ir.IntType(32), n.lanes)
        bias, shift = (ir.Constant(whole, [number] * n.lanes) for number in (127, 23))
        bits = builder.shl(builder.add(builder.fptosi(args[0], whole), bias), shift)
        return builder.bitcast(bits, vector)

    return n(n), codegen
