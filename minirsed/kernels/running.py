"""A running sum that forgets, compiled; `decayed_sums_numpy` in `minirsed.listening.inputs` is its definition."""

from minirsed.kernels.compiling import compiled


@compiled()
def decayed_sums(x, forget, past, sums):
    """Fill `sums` (N, T) with s_t = x_t + forget · s_{t−1} of x (N, T); `past` (N,) is forget · s before and after."""
    for row in range(x.shape[0]):
        before = past[row]
        for t in range(x.shape[1]):
            total = x[row, t] + before
            sums[row, t] = total
            before = forget * total
        past[row] = before
