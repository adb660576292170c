"""What happens to one row at a time, between the products: look-up, norms, rounding to 8 bits, activations."""

from __future__ import annotations

from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.simd import (
    Vector,
    add,
    add_integers,
    divide,
    fill,
    fused,
    larger,
    largest_of,
    load,
    load_byte,
    load_half_float,
    load_long,
    magnitude,
    multiply,
    nearest,
    power_of_two,
    raised,
    smaller,
    store,
    store_bytes,
    store_float,
    store_int,
    subtract,
    sum_of,
    total_of,
    whole,
    with_sign,
)
from repotune.infer.cpu.kernels.tables import BITS, GELU_TANH, GROUP, INPUTS, SCALES, SWIGLU, WEIGHTS

_LOG2E = 1.4426950408889634


@compiled
def embed(table: int, token: int, width: int, out: int) -> None:
    """The row of `token` in a packed matrix, back in float32."""
    inputs, group = load_long(table + INPUTS), load_long(table + GROUP)
    panel, lane = token // 16, token % 16
    scales = load_long(table + SCALES) + panel * (inputs // group) * 32 + lane * 2
    four_bit = load_long(table + BITS) == 4
    weights = load_long(table + WEIGHTS) + panel * inputs * (8 if four_bit else 16) + lane * 4
    for index in range(width):
        scale = load_half_float(scales + index // group * 32)
        if four_bit:
            byte = load_byte(weights + index // 8 * 64 + index % 4)
            value = (byte >> 4 if index % 8 >= 4 else byte & 15) - 8
        else:
            value = load_byte(weights + index // 4 * 64 + index % 4) - 128
        store_float(out + index * 4, scale * value)


@compiled
def normalise(x: int, width: int, weight: int, bias: int, epsilon: float, rms: bool, out: int) -> None:
    """RMSNorm (Zhang and Sennrich 2019) or LayerNorm of one row; `bias` is 0 where there is none."""
    total, squares = fill(0.0), fill(0.0)
    for at in range(0, width * 4, 64):
        numbers = load(x + at)
        total = add(total, numbers)
        squares = fused(numbers, numbers, squares)
    mean = 0.0 if rms else sum_of(total) / width
    if not rms:
        squares = fill(0.0)
        for at in range(0, width * 4, 64):
            off = subtract(load(x + at), fill(mean))
            squares = fused(off, off, squares)
    scale = fill(1.0 / (sum_of(squares) / width + epsilon) ** 0.5)
    for at in range(0, width * 4, 64):
        numbers = multiply(multiply(subtract(load(x + at), fill(mean)), scale), load(weight + at))
        if bias:
            numbers = add(numbers, load(bias + at))
        store(out + at, numbers)


@compiled
def quantise(x: int, count: int, group: int, bits: int, quantised: int, scales: int, zeros: int) -> None:
    """`count` numbers of a row as 8-bit integers, for a product with weights of `bits`: a scale for each group, so that
    one large number spoils no more than its neighbours. `zeros` take the group's sum times the weights' zero point."""
    zero = 8 if bits == 4 else 128
    for index in range(count // group):
        most = fill(0.0)
        start = x + index * group * 4
        for at in range(0, group * 4, 64):
            most = larger(most, magnitude(load(start + at)))
        scale = max(largest_of(most) / 127.0, 1e-30)
        inverse = fill(1.0 / scale)
        total = nearest(fill(0.0))
        for at in range(0, group * 4, 64):
            rounded = nearest(multiply(load(start + at), inverse))
            store_bytes(quantised + index * group + at // 4, rounded)
            total = add_integers(total, rounded)
        store_float(scales + index * 4, scale)
        store_int(zeros + index * 4, total_of(total) * zero)


@compiled
def exponential(x: Vector) -> Vector:
    """eˣ within 2 units in the last place: 2 to the whole part by its bits, to the rest by a polynomial (Cephes)."""
    scaled = multiply(larger(smaller(x, fill(88.0)), fill(-87.0)), fill(_LOG2E))
    exponent = whole(scaled)
    rest = multiply(subtract(scaled, exponent), fill(0.6931471805599453))
    power = fill(1.9875691500e-4)
    power = fused(power, rest, fill(1.3981999507e-3))
    power = fused(power, rest, fill(8.3334519073e-3))
    power = fused(power, rest, fill(4.1665795894e-2))
    power = fused(power, rest, fill(1.6666665459e-1))
    power = fused(power, rest, fill(5.0000001201e-1))
    power = add(fused(multiply(rest, rest), power, rest), fill(1.0))
    return multiply(power, power_of_two(nearest(exponent)))


@compiled
def exponential_of_two(x: Vector) -> Vector:
    """2ˣ for x ≤ 0 within 4e-6 of itself, twice as fast: what rounds to bfloat16 needs no more. The whole part is what
    the addition of a large number rounds to, its bits go into the exponent; the rest is a polynomial, least squares of
    the relative error at Chebyshev's points."""
    large = fill(12582912.0)
    shifted = add(larger(x, fill(-126.0)), large)
    rest = subtract(larger(x, fill(-126.0)), subtract(shifted, large))
    power = fused(rest, fill(0.009560510206485693), fill(0.05591703917487026))
    power = fused(power, rest, fill(0.24024981109537277))
    power = fused(power, rest, fill(0.6931219676960603))
    power = fused(power, rest, fill(0.9999991908565833))
    return raised(power, shifted)


@compiled
def activate(hidden: int, width: int, kind: int, out: int) -> None:
    """SwiGLU of a row that holds gate and up one after the other (Shazeer 2020), or GELU of one that holds up alone."""
    one = fill(1.0)
    for at in range(0, width * 4, 64):
        x = load(hidden + at)
        if kind == SWIGLU:
            gated = divide(x, add(one, exponential(subtract(fill(0.0), x))))
            store(out + at, multiply(gated, load(hidden + width * 4 + at)))
        elif kind == GELU_TANH:
            inner = multiply(multiply(x, fused(multiply(x, x), fill(0.044715), one)), fill(-1.5957691216057308))
            store(out + at, divide(x, add(one, exponential(inner))))
        else:
            store(
                out + at,
                multiply(multiply(x, fill(0.5)), add(one, _error_function(multiply(x, fill(0.7071067811865476))))),
            )


@compiled
def _error_function(x: Vector) -> Vector:
    """erf within 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
    size = magnitude(x)
    t = divide(fill(1.0), fused(size, fill(0.3275911), fill(1.0)))
    series = fused(t, fill(1.061405429), fill(-1.453152027))
    series = fused(t, series, fill(1.421413741))
    series = fused(t, series, fill(-0.284496736))
    series = multiply(t, fused(t, series, fill(0.254829592)))
    positive = subtract(fill(1.0), multiply(series, exponential(subtract(fill(0.0), multiply(x, x)))))
    return with_sign(positive, x)
