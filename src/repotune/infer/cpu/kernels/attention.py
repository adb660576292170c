"""Attention of a few rows of one sequence over its pages of keys and values.

A page holds 16 tokens of one layer in bfloat16, as pairs that one instruction multiplies (`dot2`). For each key-value
head its keys lie by dimension (E/2 × 16 × 2: one load is two dimensions of all tokens) and its values by token
(8 × E × 2: two tokens of 16 dimensions). Each query's sums run over the pages in order, so a row's result does not
depend on which rows are computed with it.
"""

from __future__ import annotations

from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.instructions import has_wide_registers
from repotune.infer.cpu.kernels.rows import exponential_of_two
from repotune.infer.cpu.kernels.simd import (
    add,
    dot2,
    fill,
    fill_pair,
    fused,
    larger,
    largest_of,
    load,
    load_float,
    load_long,
    load_pairs,
    multiply,
    store,
    store_apart,
    store_float,
    store_one_rounded,
    store_pairs_apart,
    store_rounded,
    subtract,
    sum_of,
)
from repotune.infer.cpu.kernels.tables import PAGE

_LOG2E = 1.4426950408889634
_QUERIES = 4  # computed together, so that a load of keys or values serves four
_WIDE = has_wide_registers()  # where eight sums of 16 lanes have registers; else four at a time


@compiled
def rotate(x: int, heads: int, head_width: int, turns: int) -> None:
    """RoPE (Su et al. 2021) of one row's `heads`, in place; `turns` holds E/2 cosines and E/2 sines of the position.
    The two numbers that turn together lie half a head apart, as in Hugging Face's layout."""
    half = head_width * 2
    for head in range(heads):
        first = x + head * head_width * 4
        for at in range(0, half, 64):
            cosine, sine = load(turns + at), load(turns + half + at)
            one, two = load(first + at), load(first + half + at)
            store(first + at, subtract(multiply(one, cosine), multiply(two, sine)))
            store(first + half + at, fused(two, cosine, multiply(one, sine)))


@compiled
def remember(
    key: int, value: int, kv_heads: int, head_width: int, keys: int, values: int, page: int, slot: int
) -> None:
    """Writes one token's keys and values, rounded, into place `slot` of `page`. Threads may write two tokens of a pair
    at the same time: no more is touched than what is the token's own."""
    size = head_width * PAGE * 2
    for head in range(kv_heads):
        column = keys + (page * kv_heads + head) * size + slot * 4
        row = values + (page * kv_heads + head) * size + slot // 2 * head_width * 4 + slot % 2 * 2
        for index in range(0, head_width, 16):
            at = (head * head_width + index) * 4
            store_pairs_apart(column + index // 2 * PAGE * 4, load(key + at), PAGE * 4)
            store_apart(row + index * 4, load(value + at), 4)


@compiled
def attend(
    queries: int, count: int, head_width: int, table: int, keys: int, values: int, head: int, kv_heads: int,
    firsts: int, ends: int, slopes: int, rounded: int, shares: int, scores: int, scores_row: int, out: int,
) -> None:  # fmt: skip
    """The mixtures of values for `count` queries that share the key-value head `head`.

    `queries` and `out` are arrays of `count` addresses. Query i sees the tokens from firsts[i] up to ends[i], both
    longs, and with ALiBi loses slopes[i] for each token of distance. `table` lists the sequence's pages. There is room
    for `count` rows of E bfloat16 in `rounded`, and, rounded up to fours, of a float in `shares` and of `scores_row`
    bytes in `scores`.
    """
    size = head_width * PAGE * 2
    start, end = load_long(firsts), load_long(ends)
    for index in range(1, count):
        start, end = min(start, load_long(firsts + index * 8)), max(end, load_long(ends + index * 8))
    first_page, pages = start // PAGE, (end + PAGE - 1) // PAGE
    scale = fill(_LOG2E / float(head_width) ** 0.5)  # scores are exponents of two
    for index in range(count):
        query = load_long(queries + index * 8)
        for at in range(0, head_width * 4, 64):
            store_rounded(rounded + index * head_width * 2 + at // 2, multiply(load(query + at), scale))
    for group in range(0, count, _QUERIES):
        _score(rounded, group, count, head_width, table, keys, head, kv_heads, first_page, pages,
               scores + group * scores_row, scores_row)  # fmt: skip
    for index in range(count):
        slope = load_float(slopes + index * 4) * _LOG2E if slopes else 0.0
        first, end = load_long(firsts + index * 8), load_long(ends + index * 8)
        store_float(shares + index * 4, _weigh(scores + index * scores_row, first, end, first_page, pages, slope))
    for group in range(0, count, _QUERIES):
        _mix(out, group, count, head_width, table, values, head, kv_heads, size, first_page, pages,
             shares + group * 4, scores + group * scores_row, scores_row)  # fmt: skip


@compiled
def _score(
    queries: int, group: int, count: int, head_width: int, table: int, keys: int, head: int, kv_heads: int,
    first_page: int, pages: int, scores: int, scores_row: int,
) -> None:  # fmt: skip
    """Four queries' products with all keys, two pages at a time, or one where registers are few. Beyond `count` the
    last query stands in, and its scores are not used; behind the last page stands that page again."""
    row, page = head_width * 2, head_width * PAGE * 2
    q0 = queries + group * row
    q1 = queries + min(group + 1, count - 1) * row
    q2 = queries + min(group + 2, count - 1) * row
    q3 = queries + min(group + 3, count - 1) * row
    if not _WIDE:
        for index in range(first_page, pages):
            one = keys + (load_long(table + index * 8) * kv_heads + head) * page
            s00, s10, s20, s30 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
            for pair in range(head_width // 2):
                k0 = load_pairs(one + pair * PAGE * 4)
                s00, s10 = dot2(s00, fill_pair(q0 + pair * 4), k0), dot2(s10, fill_pair(q1 + pair * 4), k0)
                s20, s30 = dot2(s20, fill_pair(q2 + pair * 4), k0), dot2(s30, fill_pair(q3 + pair * 4), k0)
            at = scores + index * PAGE * 4
            store(at, s00)
            store(at + scores_row, s10)
            store(at + 2 * scores_row, s20)
            store(at + 3 * scores_row, s30)
        return
    for index in range(first_page, pages, 2):
        other = min(index + 1, pages - 1)
        one = keys + (load_long(table + index * 8) * kv_heads + head) * page
        two = keys + (load_long(table + other * 8) * kv_heads + head) * page
        s00, s10, s20, s30 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        s01, s11, s21, s31 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        for pair in range(head_width // 2):
            k0, k1 = load_pairs(one + pair * PAGE * 4), load_pairs(two + pair * PAGE * 4)
            p0, p1 = fill_pair(q0 + pair * 4), fill_pair(q1 + pair * 4)
            p2, p3 = fill_pair(q2 + pair * 4), fill_pair(q3 + pair * 4)
            s00, s01 = dot2(s00, p0, k0), dot2(s01, p0, k1)
            s10, s11 = dot2(s10, p1, k0), dot2(s11, p1, k1)
            s20, s21 = dot2(s20, p2, k0), dot2(s21, p2, k1)
            s30, s31 = dot2(s30, p3, k0), dot2(s31, p3, k1)
        at, behind = scores + index * PAGE * 4, (other - index) * PAGE * 4
        _put(at, behind, s00, s01)
        _put(at + scores_row, behind, s10, s11)
        _put(at + 2 * scores_row, behind, s20, s21)
        _put(at + 3 * scores_row, behind, s30, s31)


@compiled
def _weigh(scores: int, first: int, end: int, first_page: int, pages: int, slope: float) -> float:
    """The softmax of one query's scores, in their place and in half the room, as bfloat16, and without its division: by
    what each weight is to be multiplied is returned. What the query may not see weighs nothing."""
    if slope != 0.0:
        for token in range(first, end):
            store_float(scores + token * 4, load_float(scores + token * 4) - slope * (end - 1 - token))
    for token in range(first_page * PAGE, first):
        store_float(scores + token * 4, -1e30)
    for token in range(end, pages * PAGE):
        store_float(scores + token * 4, -1e30)
    most = fill(-1e30)
    for index in range(first_page, pages):
        most = larger(most, load(scores + index * 64))
    top = fill(largest_of(most))
    total = fill(0.0)
    for index in range(first_page, pages):
        weight = exponential_of_two(subtract(load(scores + index * 64), top))
        store_rounded(scores + index * 32, weight)
        total = add(total, weight)
    for token in range(first_page * PAGE, first):  # 2⁻¹²⁶ is not quite nothing
        store_one_rounded(scores + token * 2, 0.0)
    for token in range(end, pages * PAGE):
        store_one_rounded(scores + token * 2, 0.0)
    return float(1.0 / sum_of(total))


@compiled
def _mix(
    out: int, group: int, count: int, head_width: int, table: int, values: int, head: int, kv_heads: int, size: int,
    first_page: int, pages: int, shares: int, scores: int, scores_row: int,
) -> None:  # fmt: skip
    """Four queries' sums of weighted values, 32 dimensions at a time, or 16 where registers are few."""
    if not _WIDE:
        _mix_few(out, group, count, head_width, table, values, head, kv_heads, size, first_page, pages, shares, scores,
                 scores_row)  # fmt: skip
        return
    t0, t1 = fill(load_float(shares)), fill(load_float(shares + 4))
    t2, t3 = fill(load_float(shares + 8)), fill(load_float(shares + 12))
    for at in range(0, head_width * 4, 128):
        m00, m01, m10, m11 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        m20, m21, m30, m31 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        for index in range(first_page, pages):
            row = values + (load_long(table + index * 8) * kv_heads + head) * size + at
            weight = scores + index * PAGE * 2
            for _ in range(PAGE // 2):
                low, high = load_pairs(row), load_pairs(row + 64)
                w0, w1 = fill_pair(weight), fill_pair(weight + scores_row)
                w2, w3 = fill_pair(weight + 2 * scores_row), fill_pair(weight + 3 * scores_row)
                m00, m01 = dot2(m00, w0, low), dot2(m01, w0, high)
                m10, m11 = dot2(m10, w1, low), dot2(m11, w1, high)
                m20, m21 = dot2(m20, w2, low), dot2(m21, w2, high)
                m30, m31 = dot2(m30, w3, low), dot2(m31, w3, high)
                row += head_width * 4
                weight += 4
        _put(load_long(out + group * 8) + at, 64, multiply(m00, t0), multiply(m01, t0))
        if group + 1 < count:
            _put(load_long(out + (group + 1) * 8) + at, 64, multiply(m10, t1), multiply(m11, t1))
        if group + 2 < count:
            _put(load_long(out + (group + 2) * 8) + at, 64, multiply(m20, t2), multiply(m21, t2))
        if group + 3 < count:
            _put(load_long(out + (group + 3) * 8) + at, 64, multiply(m30, t3), multiply(m31, t3))


@compiled
def _mix_few(
    out: int, group: int, count: int, head_width: int, table: int, values: int, head: int, kv_heads: int, size: int,
    first_page: int, pages: int, shares: int, scores: int, scores_row: int,
) -> None:  # fmt: skip
    """The same, 16 dimensions at a time."""
    for at in range(0, head_width * 4, 64):
        m0, m1, m2, m3 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        for index in range(first_page, pages):
            row = values + (load_long(table + index * 8) * kv_heads + head) * size + at
            weight = scores + index * PAGE * 2
            for _ in range(PAGE // 2):
                two = load_pairs(row)
                m0, m1 = dot2(m0, fill_pair(weight), two), dot2(m1, fill_pair(weight + scores_row), two)
                m2 = dot2(m2, fill_pair(weight + 2 * scores_row), two)
                m3 = dot2(m3, fill_pair(weight + 3 * scores_row), two)
                row += head_width * 4
                weight += 4
        store(load_long(out + group * 8) + at, multiply(m0, fill(load_float(shares))))
        if group + 1 < count:
            store(load_long(out + (group + 1) * 8) + at, multiply(m1, fill(load_float(shares + 4))))
        if group + 2 < count:
            store(load_long(out + (group + 2) * 8) + at, multiply(m2, fill(load_float(shares + 8))))
        if group + 3 < count:
            store(load_long(out + (group + 3) * 8) + at, multiply(m3, fill(load_float(shares + 12))))


@compiled
def _put(at: int, step: int, first: object, second: object) -> None:
    store(at + step, second)
    store(at, first)
