"""Keys and values of one canvas, kept between steps in buffers that never move.

Keys are stored after their rotation, so a step rotates only what it computes. A full
forward fills the slots 0..T-1, one slot for each position; a step over a window writes
its slots in place. Slots from `length` on are spare: a window may be padded with them,
because no key there is ever attended to. Must not know tokens, layers or rules.

Shapes: L layers, B rows, K key/value heads, S slots, E head width, T positions, W slots
of a window.
"""

import torch
from torch import Tensor


class Cache:
    """Allocated once; `length` and what `seen_BS` hides change with each full forward.

    `whole` attends to all S slots under the mask `seen_BS`, which lives on the device: a
    captured step then holds for every length. Otherwise steps look at `length` slots only.
    """

    def __init__(
        self,
        *,
        layers: int,
        rows: int,
        kv_heads: int,
        head_dim: int,
        capacity: int,
        device: torch.device | str,
        dtype: torch.dtype,
        whole: bool = False,
    ) -> None:
        shape = (layers, rows, kv_heads, capacity, head_dim)
        self.keys_LBKSE = torch.zeros(shape, device=device, dtype=dtype)
        self.values_LBKSE = torch.zeros_like(self.keys_LBKSE)
        self.cos_BSE = torch.zeros(rows, capacity, head_dim, device=device, dtype=dtype)
        self.sin_BSE = torch.zeros_like(self.cos_BSE)
        self.seen_BS = torch.zeros(rows, capacity, device=device, dtype=torch.bool)
        self.whole = whole
        self.length = 0
        self.masked = whole

    @property
    def capacity(self) -> int:
        return self.seen_BS.shape[1]

    @property
    def rows(self) -> int:
        return self.seen_BS.shape[0]

    @property
    def span(self) -> int:
        """How many slots a step attends to."""
        return self.capacity if self.whole else self.length

    @property
    def allow_B11S(self) -> Tensor | None:
        """Which of these it may see; None: all."""
        return self.seen_BS[:, None, None, : self.span] if self.masked else None

    def begin(
        self, T: int, valid_BT: Tensor | None, cos_BTE: Tensor, sin_BTE: Tensor
    ) -> None:
        """A full forward over T positions starts: from now on its slots are those seen. A
        forward of one row fills all rows alike."""
        assert self.capacity >= T, f"{T} positions do not fit {self.capacity} slots"
        self.length = T
        self.masked = self.whole or valid_BT is not None
        self.seen_BS[:, T:] = False
        self.seen_BS[:, :T] = True if valid_BT is None else valid_BT
        self.cos_BSE[:, :T] = cos_BTE
        self.sin_BSE[:, :T] = sin_BTE

    def fill(self, layer: int, k_BKTE: Tensor, v_BKTE: Tensor) -> None:
        T = k_BKTE.shape[2]
        self.keys_LBKSE[layer, :, :, :T] = k_BKTE
        self.values_LBKSE[layer, :, :, :T] = v_BKTE

    def write(
        self, layer: int, slots_W: Tensor, k_BKWE: Tensor, v_BKWE: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Put a window's keys and values at its slots; all that a step attends to."""
        keys_BKSE, values_BKSE = self.keys_LBKSE[layer], self.values_LBKSE[layer]
        keys_BKSE.index_copy_(2, slots_W, k_BKWE)
        values_BKSE.index_copy_(2, slots_W, v_BKWE)
        return keys_BKSE[:, :, : self.span], values_BKSE[:, :, : self.span]

    def rotation(self, slots_W: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of a window, (B, 1, W, E): where the full forward put each slot."""
        cos_BWE = self.cos_BSE.index_select(1, slots_W)
        return cos_BWE[:, None], self.sin_BSE.index_select(1, slots_W)[:, None]
