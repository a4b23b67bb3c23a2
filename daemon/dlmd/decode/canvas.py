"""Parts (text and holes) to a canvas of tokens, and a canvas back to text and pieces.

Text outside holes is never decoded from tokens: normalisation would change it. It is
spliced back as it came. Must not know how masks are filled, or over what wire parts came.

Shapes: B rows, T positions.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from torch import Tensor

from dlmd.decode.crop import crop_after, crop_before
from dlmd.decode.tokenizer import Tokenizer, refuse_half_characters
from dlmd.profiles import Profile

DEFAULT_MASKS = 32
BOM = "\ufeff"
# Beyond so many characters a token, encoding what must be seen whole would be wasted.
MOST_CHARACTERS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """One denoising state. Rows may hold different numbers of masks."""

    tokens_BT: Tensor
    _: KW_ONLY
    mask_id: int
    valid_BT: Tensor | None = None  # False: padding
    confidence_BT: Tensor | None = None  # what each token's last step ranked it by
    masks_B: tuple[int, ...] = ()  # masks of each row before the first step
    # What led here: forwards over the whole canvas, over a window, and rows in them all.
    forwards_full: int = 0
    forwards_cached: int = 0
    query_rows: int = 0
    doubtful_BT: Tensor | None = None  # what a last look would now say otherwise

    def __post_init__(self) -> None:
        if self.tokens_BT.dim() != 2:
            raise ValueError(
                f"tokens have shape {list(self.tokens_BT.shape)}; give rows of positions"
            )
        if self.valid_BT is not None:
            object.__setattr__(self, "valid_BT", self.valid_BT.bool())
        if not self.masks_B:
            counts = tuple(self.masked_BT.sum(dim=-1).tolist())
            object.__setattr__(self, "masks_B", counts)

    @property
    def forwards(self) -> int:
        return self.forwards_full + self.forwards_cached

    @property
    def masked_BT(self) -> Tensor:
        masked_BT = self.tokens_BT == self.mask_id
        return masked_BT if self.valid_BT is None else masked_BT & self.valid_BT


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A gap to fill. `length` n: exactly n tokens; "auto": the model's own, up to
    `max_tokens`. `initial` is text the fill starts with; with `keep` the hole lies over
    it, token for token (draft.py)."""

    max_tokens: int | None = None
    length: int | str = "auto"
    initial: str | None = None
    keep: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "length"):
            value = getattr(self, name)
            free = None if name == "max_tokens" else "auto"
            if value == free:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                wanted = "a whole number of at least 1" + (' or "auto"' if free else "")
                raise ValueError(f"a hole's {name} is {value!r}; give {wanted}")

    @property
    def size(self) -> int:
        return self.length if isinstance(self.length, int) else self.max_tokens or 0


Part = str | Hole
Pieces = list[str | int]


def splice(parts: Sequence[Part], texts: Sequence[str]) -> str:
    """The document with its holes filled, text outside them verbatim."""
    holes = sum(isinstance(part, Hole) for part in parts)
    if holes != len(texts):
        raise ValueError(
            f"{len(texts)} texts for {holes} holes; give one for each hole"
        )
    fills = iter(texts)
    return "".join(next(fills) if isinstance(part, Hole) else part for part in parts)


# ---- parts to tokens ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the model sees of a document. `holes[i]` are the masked positions of hole i,
    which follow the tokens of its initial text."""

    tokens: tuple[int, ...]
    holes: tuple[range, ...]


def lay_out(
    parts: Sequence[Part],
    tokenizer: Tokenizer,
    profile: Profile,
    budget: int | None = None,
) -> Layout:
    """Crop to the profile's context and encode; position 0 is never a mask. A `budget`
    below that context shortens the text around the holes, to half of it at least."""
    first, inner, last = around_holes(parts)
    refuse_endless(
        inner, [p.initial or "" for p in parts if isinstance(p, Hole)], profile
    )
    filled: list[tuple[list[int], int]] = []  # (fixed tokens, masks after them)
    gaps = iter(inner)
    for hole in (part for part in parts if isinstance(part, Hole)):
        start = tokenizer.encode(as_learnt(hole.initial or ""))
        size = hole.size or len(start) + DEFAULT_MASKS
        if hole.keep is not None:
            start, size = [], len(start)
        between = tokenizer.encode(next(gaps)) if filled else []
        filled.append((between + start, max(0, size - len(start))))
    room = profile.context - 1 - sum(len(fixed) + masks for fixed, masks in filled)
    if room < 0:
        raise ValueError(
            f"the holes and the text between them take {profile.context - room} tokens; "
            f"{profile.name} sees {profile.context} at once: ask for fewer tokens or for "
            "holes closer together"
        )
    if budget is not None:
        taken = profile.context - room
        room = min(room, max(budget - taken, budget // 2))
    before, after = both_sides(first, last, tokenizer, room)
    exposed = not before and not filled[0][0]
    tokens = [*opening(tokenizer, profile, exposed=exposed), *before]
    holes: list[range] = []
    for fixed, masks in filled:
        tokens += fixed
        holes.append(range(len(tokens), len(tokens) + masks))
        tokens += [profile.mask_id] * masks
    return Layout(tokens=tuple(tokens + after), holes=tuple(holes))


def around_holes(parts: Sequence[Part]) -> tuple[str, list[str], str]:
    """Text before the first hole, between neighbours, after the last."""
    texts: list[list[str]] = [[]]
    for part in parts:
        if isinstance(part, Hole):
            refuse_half_characters(part.initial or "")
            texts.append([])
        else:
            refuse_half_characters(part)
            texts[-1].append(part)
    if len(texts) == 1:
        raise ValueError("the request has no hole; put at least one where text belongs")
    first, *inner, last = (as_learnt("".join(pieces)) for pieces in texts)
    return first.removeprefix(BOM), inner, last


def as_learnt(text: str) -> str:
    """Line ends as they were in training; with others a model writes nonsense. Who asked
    puts the document's own into the fill."""
    return text.replace("\r\n", "\n")


def refuse_endless(
    inner: Sequence[str], initials: Sequence[str], profile: Profile
) -> None:
    """What could never fit is not encoded first: seconds in which nobody is served."""
    most = profile.context * MOST_CHARACTERS
    widest = max(map(len, inner), default=0)
    if widest > most:
        raise ValueError(
            f"two holes lie {widest} characters apart; {profile.name} sees "
            f"{profile.context} tokens at once: ask for them one at a time"
        )
    held = sum(map(len, inner)) + sum(map(len, initials))
    if held > most:
        raise ValueError(
            f"the holes and the text between them hold {held} characters; {profile.name} "
            f"sees {profile.context} tokens at once: ask for fewer holes, or start them "
            "with less"
        )


def both_sides(
    first: str, last: str, tokenizer: Tokenizer, room: int
) -> tuple[list[int], list[int]]:
    """Two thirds for what comes before, one for what comes after; each may use what the
    other leaves."""
    after = crop_after(last, tokenizer, room // 3)
    before = crop_before(first, tokenizer, room - len(after))
    left = room - len(before) - len(after)
    if left:
        after = crop_after(last, tokenizer, len(after) + left)
    return before, after


def opening(tokenizer: Tokenizer, profile: Profile, *, exposed: bool) -> list[int]:
    """What stands in front: the begin token of models that were taught holes with it, and
    for all models some token where a mask would be first, because logits are shifted."""
    if profile.bos_id is not None and (exposed or profile.always_bos):
        return [profile.bos_id]
    if not exposed:
        return []
    return tokenizer.encode("\n") if profile.eos_id is None else [profile.eos_id]


# ---- tokens to text ----


def draw_pieces(
    ids: Sequence[int],
    certainty: Sequence[float],
    mask_id: int,
    tokenizer: Tokenizer,
    *,
    by_token: bool = False,
) -> tuple[Pieces, list[float]]:
    """Settled text and runs of masks, each with its mean certainty (0 for masks).

    A token that ends inside a character counts as a mask until the character is whole.
    """
    pieces: Pieces = []
    sums: list[tuple[float, int]] = []
    for text, members in whole_characters(ids, mask_id, tokenizer):
        piece: str | int = len(members) if text is None else text
        total = 0.0 if text is None else sum(certainty[k] for k in members)
        alike = pieces and isinstance(pieces[-1], str) == isinstance(piece, str)
        if alike and not (by_token and isinstance(piece, str)):
            pieces[-1] += piece  # type: ignore[operator]
            sums[-1] = (sums[-1][0] + total, sums[-1][1] + len(members))
        else:
            pieces.append(piece)
            sums.append((total, len(members)))
    return pieces, [total / count for total, count in sums]


def whole_characters(
    ids: Sequence[int], mask_id: int, tokenizer: Tokenizer
) -> list[tuple[str | None, list[int]]]:
    """Groups of positions: those that make whole characters with their text, the others
    (masks, and tokens that are still part of a character) with None."""
    groups: list[tuple[bytes | None, list[int]]] = []
    for k, token in enumerate(ids):
        found = None if token == mask_id else tokenizer.bytes_of(token)
        if found == b"":
            continue  # surplus and control tokens draw as nothing
        before, members = groups[-1] if groups else (None, [])
        if found is not None and before is not None and continues(found, before):
            groups[-1] = (before + found, [*members, k])
        else:
            groups.append((found, [k]))
    return [(whole(found), members) for found, members in groups]


def continues(found: bytes, before: bytes) -> bool:
    """Whether `found` goes on with a character that `before` left open."""
    return found[0] & 0xC0 == 0x80 and whole(before) is None


def whole(found: bytes | None) -> str | None:
    if found is None:
        return None
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError:
        return None
