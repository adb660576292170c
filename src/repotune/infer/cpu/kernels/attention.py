"""Attention of a few rows of one sequence over its pages of keys and values.

A page holds 16 tokens of one layer. For each key-value head its keys lie by dimension (E × 16 halves: one load is one
dimension of all tokens) and its values by token (16 × E halves). Each query's sums run over the pages in order, so a
row's result does not depend on which rows are computed with it.
"""

from __future__ import annotations

from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.rows import exponential
from repotune.infer.cpu.kernels.simd import (
    add,
    fill,
    fused,
    larger,
    largest_of,
    load,
    load_float,
    load_half,
    load_long,
    multiply,
    store,
    store_float,
    store_half,
    store_one_half,
    subtract,
    sum_of,
)

PAGE = 16  # tokens: a vector of scores is a page
_QUERIES = 4  # computed together, so that a load of keys or values serves four


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
    """Writes one token's keys and values, rounded to halves, into place `slot` of `page`."""
    size = head_width * PAGE * 2
    for head in range(kv_heads):
        column = keys + (page * kv_heads + head) * size + slot * 2
        for index in range(head_width):
            store_one_half(column + index * PAGE * 2, load_float(key + (head * head_width + index) * 4))
        row = values + (page * kv_heads + head) * size + slot * head_width * 2
        for at in range(0, head_width, 16):
            store_half(row + at * 2, load(value + (head * head_width + at) * 4))


@compiled
def attend(
    queries: int, count: int, head_width: int, table: int, keys: int, values: int, head: int, kv_heads: int,
    firsts: int, ends: int, slopes: int, scores: int, scores_row: int, out: int,
) -> None:  # fmt: skip
    """The mixtures of values for `count` queries that share the key-value head `head`.

    `queries` and `out` are arrays of `count` addresses. Query i sees the tokens from firsts[i] up to ends[i], both
    longs, and with ALiBi loses slopes[i] for each token of distance. `table` lists the sequence's pages. `scores` is
    room for `count` rows, rounded up to fours, of `scores_row` bytes.
    """
    size = head_width * PAGE * 2
    start, end = load_long(firsts), load_long(ends)
    for index in range(1, count):
        start, end = min(start, load_long(firsts + index * 8)), max(end, load_long(ends + index * 8))
    first_page, pages = start // PAGE, (end + PAGE - 1) // PAGE
    scale = fill(1.0 / float(head_width) ** 0.5)
    for group in range(0, count, _QUERIES):
        _score(queries, group, count, head_width, table, keys, head, kv_heads, first_page, pages, scale,
               scores + group * scores_row, scores_row)  # fmt: skip
    for index in range(count):
        slope = load_float(slopes + index * 4) if slopes else 0.0
        place = index * 8
        _weigh(
            scores + index * scores_row, load_long(firsts + place), load_long(ends + place), first_page, pages, slope
        )
    for group in range(0, count, _QUERIES):
        _mix(out, group, count, head_width, table, values, head, kv_heads, size, first_page, pages,
             scores + group * scores_row, scores_row)  # fmt: skip


@compiled
def _score(
    queries: int, group: int, count: int, head_width: int, table: int, keys: int, head: int, kv_heads: int,
    first_page: int, pages: int, scale: object, scores: int, scores_row: int,
) -> None:  # fmt: skip
    """Four queries' products with all keys. Beyond `count` the last query stands in, and its scores are not used."""
    q0 = load_long(queries + group * 8)
    q1 = load_long(queries + min(group + 1, count - 1) * 8)
    q2 = load_long(queries + min(group + 2, count - 1) * 8)
    q3 = load_long(queries + min(group + 3, count - 1) * 8)
    for index in range(first_page, pages):
        column = keys + (load_long(table + index * 8) * kv_heads + head) * head_width * PAGE * 2
        s0, s1, s2, s3 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        for dimension in range(head_width):
            key = load_half(column + dimension * PAGE * 2)
            s0 = fused(fill(load_float(q0 + dimension * 4)), key, s0)
            s1 = fused(fill(load_float(q1 + dimension * 4)), key, s1)
            s2 = fused(fill(load_float(q2 + dimension * 4)), key, s2)
            s3 = fused(fill(load_float(q3 + dimension * 4)), key, s3)
        at = scores + index * PAGE * 4
        store(at, multiply(s0, scale))
        store(at + scores_row, multiply(s1, scale))
        store(at + 2 * scores_row, multiply(s2, scale))
        store(at + 3 * scores_row, multiply(s3, scale))


@compiled
def _weigh(scores: int, first: int, end: int, first_page: int, pages: int, slope: float) -> None:
    """Softmax of one query's scores, in place; what it may not see weighs nothing."""
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
        weight = exponential(subtract(load(scores + index * 64), top))
        store(scores + index * 64, weight)
        total = add(total, weight)
    share = fill(1.0 / sum_of(total))
    for index in range(first_page, pages):
        store(scores + index * 64, multiply(load(scores + index * 64), share))
    for token in range(first_page * PAGE, first):  # e⁻⁸⁷ is not quite nothing
        store_float(scores + token * 4, 0.0)
    for token in range(end, pages * PAGE):
        store_float(scores + token * 4, 0.0)


@compiled
def _mix(
    out: int, group: int, count: int, head_width: int, table: int, values: int, head: int, kv_heads: int, size: int,
    first_page: int, pages: int, scores: int, scores_row: int,
) -> None:  # fmt: skip
    """Four queries' sums of weighted values, 32 dimensions at a time."""
    for at in range(0, head_width * 2, 64):
        m00, m01, m10, m11 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        m20, m21, m30, m31 = fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        for index in range(first_page, pages):
            row = values + (load_long(table + index * 8) * kv_heads + head) * size + at
            weight = scores + index * PAGE * 4
            for _ in range(PAGE):
                low, high = load_half(row), load_half(row + 32)
                w0, w1 = fill(load_float(weight)), fill(load_float(weight + scores_row))
                w2, w3 = fill(load_float(weight + 2 * scores_row)), fill(load_float(weight + 3 * scores_row))
                m00, m01 = fused(w0, low, m00), fused(w0, high, m01)
                m10, m11 = fused(w1, low, m10), fused(w1, high, m11)
                m20, m21 = fused(w2, low, m20), fused(w2, high, m21)
                m30, m31 = fused(w3, low, m30), fused(w3, high, m31)
                row += head_width * 2
                weight += 4
        place = at * 2
        _put(load_long(out + group * 8) + place, m00, m01)
        if group + 1 < count:
            _put(load_long(out + (group + 1) * 8) + place, m10, m11)
        if group + 2 < count:
            _put(load_long(out + (group + 2) * 8) + place, m20, m21)
        if group + 3 < count:
            _put(load_long(out + (group + 3) * 8) + place, m30, m31)


@compiled
def _put(at: int, low: object, high: object) -> None:
    store(at, low)
    store(at + 64, high)
