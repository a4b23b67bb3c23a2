"""Kernels of our own, in Triton: what PyTorch would spread over many launches, or lacks.

Imported only by `fused.py`, and only where Triton and a card are. Shapes that belong to
the model are compile-time constants and the number of rows is never specialised, so that a
kernel compiles once for each model. Rounds where the plain code rounds. Must not know
modules, caches or devices.

Names of sizes: M rows, K inputs and N outputs of a linear, E head width, W queries,
S keys, G query heads that share a key head.
"""

import triton
import triton.language as tl

HALF_EVEN = tl.constexpr(
    12582912.0
)  # 1.5 * 2**23: adding and taking it rounds a float32
LOWEST = tl.constexpr(-1e30)


@triton.jit
def norm_rows(x, weight, out, eps, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * WIDTH
    at = tl.arange(0, BLOCK)
    inside = at < WIDTH
    values = tl.load(x + start + at, mask=inside, other=0.0).to(tl.float32)
    scaled = values * tl.rsqrt(tl.sum(values * values, 0) / WIDTH + eps)
    factor = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    rounded = scaled.to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + start + at, rounded * factor, mask=inside)


@triton.jit(do_not_specialize=["count"])
def gate_times_up(gate, up, out, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=inside, other=0.0).to(tl.float32)
    open_gate = (g * tl.sigmoid(g)).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + at, open_gate * u, mask=inside)


@triton.jit(do_not_specialize=["angles"])
def rotate_rows(
    x,
    cos,
    sin,
    out,
    angles,  # rows of cos and sin; the rows of x go round them
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, BLOCK)[:, None]
    e = tl.arange(0, HALF)[None, :]
    at = (row * HEADS + head) * (2 * HALF) + e
    inside = head < HEADS
    left = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    right = tl.load(x + at + HALF, mask=inside, other=0.0).to(tl.float32)
    angle = (row % angles) * (2 * HALF) + e
    c = tl.load(cos + angle).to(tl.float32)
    s = tl.load(sin + angle).to(tl.float32)
    kind = out.dtype.element_ty
    first = (left * c).to(kind).to(tl.float32) - (right * s).to(kind).to(tl.float32)
    second = (right * c).to(kind).to(tl.float32) + (left * s).to(kind).to(tl.float32)
    tl.store(out + at, first, mask=inside)
    tl.store(out + at + HALF, second, mask=inside)


@triton.jit
def quantise_rows(
    x, out, scale, MOST: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < WIDTH
    values = tl.load(x + row * WIDTH + at, mask=inside, other=0.0).to(tl.float32)
    unit = tl.maximum(tl.max(tl.abs(values), 0), 1e-12) / MOST
    tl.store(scale + row, unit)
    values = values / unit
    if out.dtype.element_ty == tl.int8:
        values = (values + HALF_EVEN) - HALF_EVEN
    else:
        values = tl.minimum(tl.maximum(values, -MOST), MOST)
    tl.store(out + row * WIDTH + at, values.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["M"])
def int8_product(
    x,
    weight,
    scale,
    bias,
    out,
    M,
    N: tl.constexpr,
    K: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    SPLITS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """out_MN = x_MK @ weight_NK.T * scale_N + bias_N, or with SPLITS the unscaled sums
    over a share of K each, (SPLITS, M, N) in float32.

    The weights are the left factor: tensor cores take 64 of them at a time, and few rows
    of x then waste nothing. Neighbouring programs share weights, not rows.
    """
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.program_id(2) * BLOCK_K + tl.arange(0, BLOCK_K)
    weight_at = weight + n.to(tl.int64)[:, None] * K
    x_at = x + m.to(tl.int64)[:, None] * K
    sums_NM = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    for start in range(0, K, BLOCK_K * SPLITS):
        here = start + k
        w_NK = tl.load(
            weight_at + here[None, :],
            mask=(n < N)[:, None] & (here < K)[None, :],
            other=0,
        )
        x_MK = tl.load(
            x_at + here[None, :],
            mask=(m < M)[:, None] & (here < K)[None, :],
            other=0.0,
        )
        sums_NM = tl.dot(w_NK.to(x_MK.dtype), tl.trans(x_MK), sums_NM)
    inside = (n < N)[:, None] & (m < M)[None, :]
    at = m.to(tl.int64)[None, :] * N + n[:, None]
    if SPLITS > 1:
        share = tl.program_id(2).to(tl.int64) * M * N
        tl.store(out + share + at, sums_NM, mask=inside)
    else:
        unit_N = tl.load(scale + n, mask=n < N, other=0.0)
        sums_NM = sums_NM * unit_N[:, None]
        if HAS_BIAS:
            bias_N = tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)
            sums_NM = sums_NM + bias_N[:, None]
        tl.store(out + at, sums_NM, mask=inside)


@triton.jit(do_not_specialize=["M"])
def int8_gather(
    sums,
    scale,
    bias,
    out,
    M,
    N: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    SPLITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Adds the shares that `int8_product` left, one row of x and BLOCK outputs a program."""
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at = tl.program_id(0).to(tl.int64) * N + n
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for share in tl.static_range(SPLITS):
        start = tl.full((), share, tl.int64) * M * N
        total += tl.load(sums + start + at, mask=n < N, other=0.0)
    total = total * tl.load(scale + n, mask=n < N, other=0.0)
    if HAS_BIAS:
        total += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)
    tl.store(out + at, total, mask=n < N)


@triton.jit(do_not_specialize=["W", "S"])
def attend_split(
    q,
    k,
    v,
    allow,
    sums,
    tops,
    totals,
    scale,
    W,
    S,
    q_batch,
    q_head,
    q_row,
    k_batch,
    k_head,
    HEADS: tl.constexpr,
    G: tl.constexpr,
    E: tl.constexpr,
    SPLITS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """Softmax attention of a window over one share of the keys, packed alike with values.

    The G query heads of a key head are rows of one tile (row = w * G + g), so each key is
    read once. `allow` (B, S) hides keys. Leaves sums, their top and total; HEADS of keys.
    """
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    batch = (tl.program_id(1) // HEADS).to(tl.int64)
    head = (tl.program_id(1) % HEADS).to(tl.int64)
    e = tl.arange(0, E)
    real = row < W * G
    q_at = batch * q_batch + (head * G + row % G) * q_head + (row // G) * q_row
    q_ME = tl.load(q + q_at[:, None] + e[None, :], mask=real[:, None], other=0.0)
    k_at = k + batch * k_batch + head * k_head
    v_at = v + batch * k_batch + head * k_head
    top_M = tl.full((BLOCK_M,), LOWEST, dtype=tl.float32)
    total_M = tl.zeros((BLOCK_M,), dtype=tl.float32)
    sum_ME = tl.zeros((BLOCK_M, E), dtype=tl.float32)
    share = tl.cdiv(tl.cdiv(S, SPLITS), BLOCK_S) * BLOCK_S
    first = tl.program_id(2) * share
    for start in range(first, tl.minimum(first + share, S), BLOCK_S):
        s = start + tl.arange(0, BLOCK_S)
        seen = tl.load(allow + batch * S + s, mask=s < S, other=0) != 0
        at = s.to(tl.int64)[:, None] * E + e[None, :]
        k_SE = tl.load(k_at + at, mask=seen[:, None], other=0.0)
        score_MS = tl.dot(q_ME, tl.trans(k_SE)) * scale
        score_MS = tl.where(seen[None, :], score_MS, LOWEST)
        higher_M = tl.maximum(top_M, tl.max(score_MS, 1))
        kept_M = tl.exp(top_M - higher_M)
        part_MS = tl.where(seen[None, :], tl.exp(score_MS - higher_M[:, None]), 0.0)
        v_SE = tl.load(v_at + at, mask=seen[:, None], other=0.0)
        sum_ME = tl.dot(part_MS.to(v_SE.dtype), v_SE, sum_ME * kept_M[:, None])
        total_M = total_M * kept_M + tl.sum(part_MS, 1)
        top_M = higher_M
    place = (tl.program_id(1) * SPLITS + tl.program_id(2)).to(tl.int64) * W * G + row
    tl.store(tops + place, top_M, mask=real)
    tl.store(totals + place, total_M, mask=real)
    tl.store(sums + place[:, None] * E + e[None, :], sum_ME, mask=real[:, None])


@triton.jit(do_not_specialize=["W"])
def attend_gather(
    sums,
    tops,
    totals,
    out,
    W,
    HEADS: tl.constexpr,
    G: tl.constexpr,
    E: tl.constexpr,
    SPLITS: tl.constexpr,
    SPLITS_UP: tl.constexpr,
):
    """Joins the shares of one row; out is (B, W, HEADS * G, E)."""
    row = tl.program_id(0)
    batch = (tl.program_id(1) // HEADS).to(tl.int64)
    head = tl.program_id(1) % HEADS
    e = tl.arange(0, E)
    share = tl.arange(0, SPLITS_UP)
    place = (tl.program_id(1) * SPLITS + share).to(tl.int64) * W * G + row
    there = share < SPLITS
    top = tl.load(tops + place, mask=there, other=LOWEST)
    weight = tl.exp(top - tl.max(top, 0))
    total = tl.sum(weight * tl.load(totals + place, mask=there, other=0.0), 0)
    part = tl.load(
        sums + place[:, None] * E + e[None, :], mask=there[:, None], other=0.0
    )
    joined = tl.sum(part * weight[:, None], 0) / tl.maximum(total, 1e-30)
    at = ((batch * W + row // G) * (HEADS * G) + head * G + row % G) * E + e
    tl.store(out + at, joined)
