"""One cached step over buffers that never move: what a card captures and replays.

From the window's tokens to the committed ones and a record of them, with nothing that
waits for the device and no size that depends on the request: smaller requests are padded.
Must not know when steps are made or by whom (`graphed.py`), nor text.

Shapes: one row, S slots of the cache, W slots of the window, M places, m of them in use,
V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dlmd.decode.canvas import Canvas
from dlmd.decode.loop import advance
from dlmd.decode.places import Places, opened
from dlmd.decode.published import confidences
from dlmd.decode.rules import narrowest
from dlmd.decode.settings import DecodeSettings
from dlmd.model import Cache, Dream, cuda

SLOTS = 4  # of the ring: one being written, one being read, and room
REACH = DecodeSettings().reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Sizes of one captured step; smaller requests are padded to them."""

    window: int
    capacity: int

    @property
    def places(self) -> int:
        """As many masks as one hole of this window has."""
        return self.window - 2 * REACH - 1

    @property
    def cost(self) -> tuple[int, int]:
        return self.capacity, self.window


class Board:
    """The buffers of one bucket, and the step over them."""

    def __init__(self, model: Dream, bucket: Bucket, cache: Cache) -> None:
        self.model, self.bucket, self.cache = model, bucket, cache
        self.device = device = cache.seen_BS.device
        S, W, M = bucket.capacity, bucket.window, bucket.places

        def numbers(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.long, device=device)

        self.tokens_1S = numbers(1, S)
        self.confidence_1S = torch.zeros(1, S, dtype=torch.float32, device=device)
        self.slots_W, self.rows_M = numbers(W), numbers(M)
        self.at_1M, self.source_1M, self.order_1M = (numbers(1, M) for _ in range(3))
        self.begun_1, self.steps_1 = numbers(1), numbers(1)
        self.step_1, self.slot_1 = numbers(1), numbers(1)
        self.share_1 = torch.zeros(1, dtype=torch.float32, device=device)
        # A record: tokens, their confidences as bits, masks left, its narrowest lead as bits.
        self.outbox = cuda.Outbox(SLOTS, 2 * M + 2, torch.long, device)

    @property
    def places(self) -> Places:
        return Places(
            at_BM=self.at_1M, source_BM=self.source_1M, order_BM=self.order_1M
        )

    # ---- on the device

    def step(self, settings: DecodeSettings) -> None:
        """One cached step: what a graph captures."""
        tokens_1W = self.tokens_1S.index_select(1, self.slots_W)
        logits_MV = self.model(
            tokens_1W, cache=self.cache, slots_T=self.slots_W, rows_N=self.rows_M
        )
        self.commit(logits_MV[None], settings)

    def commit(self, logits_1MV: Tensor, settings: DecodeSettings) -> None:
        """The rule's choice into the tokens, and a record of it into the ring."""
        mask_id = self.model.config.mask_token_id
        canvas = Canvas(
            self.tokens_1S,
            mask_id=mask_id,
            confidence_BT=self.confidence_1S,
            masks_B=(1,),  # not used on the way, and counting them would wait
        )
        step = advance(
            canvas,
            self.places,
            logits_1MV,
            settings,
            self.step_1,  # counted on the device
            steps_B=self.steps_1,
            share_B=self.share_1,
            begun_B=self.begun_1,
        )
        assert step.canvas.confidence_BT is not None
        self.tokens_1S.copy_(step.canvas.tokens_BT)
        self.confidence_1S.copy_(step.canvas.confidence_BT)
        lead_1 = torch.zeros_like(self.share_1)
        if settings.doubt is not None:
            lead_1 = narrowest(step.reading, step.open_BM, step.chosen_BM).reshape(1)
        left_1 = opened(self.tokens_1S, self.places, mask_id).sum().reshape(1)
        tokens_1M = F.pad(self.tokens_1S, (0, 1)).gather(1, self.at_1M)
        known_1M = F.pad(self.confidence_1S, (0, 1)).gather(1, self.at_1M)
        record = torch.cat([tokens_1M[0], bits(known_1M[0]), left_1, bits(lead_1)])
        self.outbox.ring_RX.index_copy_(0, self.slot_1, record[None])
        self.slot_1.copy_((self.slot_1 + 1) % SLOTS)
        self.step_1.add_(1)

    # ---- on the host

    def put(
        self, canvas: Canvas, places: Places, slots_W: Tensor, index_T: Tensor
    ) -> None:
        """What a run works on. Padding: a slot that nothing sees, a place past the end."""
        S, T, m = self.bucket.capacity, canvas.tokens_BT.shape[1], places.shape[1]
        assert T < S and len(slots_W) <= self.bucket.window and m <= self.bucket.places
        self.slots_W.fill_(S - 1)
        self.slots_W[: len(slots_W)] = slots_W
        self.rows_M.zero_()
        self.rows_M[:m] = index_T[places.source_BM[0]]
        self.at_1M.fill_(S)
        self.at_1M[:, :m] = places.at_BM
        self.source_1M.zero_()
        self.source_1M[:, :m] = places.source_BM
        self.order_1M.zero_()
        self.order_1M[:, :m] = places.order_BM
        self.begun_1.fill_(canvas.masks_B[0])
        self.tokens_1S.zero_()
        self.write(canvas, step=0)

    def write(self, canvas: Canvas, *, step: int) -> None:
        """The state that the next step starts from; records begin at 0 again."""
        T = canvas.tokens_BT.shape[1]
        self.tokens_1S[:, :T] = canvas.tokens_BT
        self.confidence_1S.zero_()
        self.confidence_1S[:, :T] = confidences(canvas)
        self.step_1.fill_(step)
        self.slot_1.zero_()
        self.outbox.restart()

    def read(self, n: int, m: int) -> tuple[Tensor, Tensor, int, float]:
        """Record n, once it is there: tokens and confidences of the first m places, how
        many masks are left, and the narrowest lead by which it chose."""
        record, M = self.outbox.read(n), self.bucket.places
        known_m = floats(record[M : M + m])
        lead = float(floats(record[2 * M + 1 :]))
        return record[:m], known_m, int(record[2 * M]), lead


def bits(numbers: Tensor) -> Tensor:
    """Floats as whole numbers, so that one record holds both."""
    return numbers.float().view(torch.int32).long()


def floats(numbers: Tensor) -> Tensor:
    return numbers.int().view(torch.float32)
