"""A vector of numbers as a Numba type, for the inner loops of the kernels: load, store, +, − and ×.

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
    """Compile `vector ∘ vector` and `vector ∘ number`, of one dtype, to an instruction that may be fused."""

    @type_callable(operation)
    def result_type(context):
        return lambda a, b: a if isinstance(a, Vector) and b in (a, a.dtype) else None

    def codegen(context, builder, signature, args):
        (a, b), (vector, second) = args, signature.args
        b = b if second == vector else _broadcast(builder, vector, b)
        return getattr(builder, instruction)(a, b, flags=("contract",))

    lower_builtin(operation, Vector, Vector)(codegen)
    lower_builtin(operation, Vector, types.Float)(codegen)


for _operation, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _define(_operation, _instruction)
