"""The messages between a client and the daemon, as msgspec structs told apart by "type".

Field names and types are the wire format: JSON objects, snake_case, unknown fields ignored.
This file must not know what is legal when (protocol.py), nor which values are in bounds
(complaints.py).
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

PROTOCOL = 2  # rises when an old client or daemon could no longer follow

Mode = Literal["exact", "quality", "fast"]
# idle: the weights have left the device and the next request brings them back.
# sleeping: they have left it for another job of the user's.
Phase = Literal["loading", "ready", "busy", "idle", "sleeping", "failed", "stopping"]
SERVING: tuple[Phase, ...] = (
    "ready",
    "busy",
    "idle",
)  # a request asked now is computed
Code = Literal[
    "bad_request",
    "too_large",
    "cancelled",
    "superseded",
    "deadline",
    "busy",
    "model",
    "shutting_down",
    "version",
    "internal",
]


LARGEST_SEED = 2**63 - 1


class Limits(Struct, frozen=True, kw_only=True):
    """Every bound the daemon holds its clients to; told to them in hello."""

    max_text_chars: int = 8_000_000
    max_message_bytes: int = 64 * 1024 * 1024  # 8 M characters, JSON-escaped, still fit
    max_parts: int = 1024
    max_holes: int = 64
    max_tokens: int = 1024
    max_steps: int = 1024
    max_candidates: int = 8
    max_temperature: float = 10.0
    max_deadline_ms: int = 3_600_000
    max_id_chars: int = 128
    max_name_chars: int = 512  # of a model, which may be the path of its folder
    max_pin_chars: int = 16_384
    max_keep_alive_s: int = 365 * 24 * 3600
    max_open: int = 64


class HoleSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    max_tokens: int | None = None
    length: int | str | None = None  # a number of tokens, or "auto"
    initial: str | None = None  # text the fill starts with
    # With it the hole lies over `initial`: of its tokens those stay that the model, not
    # seeing them, is at least this sure of (0 to 1); the others are written anew.
    keep: float | None = None


class HolePart(Struct, frozen=True, omit_defaults=True):
    hole: HoleSpec


def hole(
    max_tokens: int | None = None,
    length: int | str | None = None,
    initial: str | None = None,
    keep: float | None = None,
) -> HolePart:
    return HolePart(
        HoleSpec(max_tokens=max_tokens, length=length, initial=initial, keep=keep)
    )


class Turn(Struct, frozen=True, kw_only=True):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Infill(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="infill",
):
    id: str
    parts: list[str | HolePart]
    mode: Mode | None = None  # None: the daemon's default
    steps: int | None = None
    tokens_per_step: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    n: int = 1
    stream: bool = True
    by_token: bool = False  # states give each token a piece and a confidence of its own
    priority: Literal["interactive", "batch"] = "interactive"
    supersedes: str | None = None
    deadline_ms: int | None = None
    keep_alive: str | float | None = (
        None  # "10m", seconds, 0: at once, below 0: for ever
    )
    model: str | None = None
    adapter: str | UnsetType | None = UNSET  # unset: the one in force; None: none
    # Stands before the parts in the model's chat template; for models taught one.
    chat: list[Turn] | None = None


class Cancel(Struct, frozen=True, kw_only=True, tag_field="type", tag="cancel"):
    id: str


class Pin(Struct, frozen=True, kw_only=True, tag_field="type", tag="pin"):
    """The user typed `text` at the start of this hole: keep it and adapt the rest."""

    id: str
    hole: int
    text: str


class Sleep(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="sleep",
):
    """Free the device for another job: until this connection ends, or `lasting`, until wake."""

    id: str
    by: str = ""  # who borrows the device, for the sentences others are told
    lasting: bool = False


class Wake(Struct, frozen=True, kw_only=True, tag_field="type", tag="wake"):
    id: str


class UseAdapter(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="use_adapter"
):
    id: str
    adapter: str | None


class UseModel(Struct, frozen=True, kw_only=True, tag_field="type", tag="use_model"):
    """Serve this model from now on, with the same clients."""

    id: str
    model: str


class Status(Struct, frozen=True, kw_only=True, tag_field="type", tag="status"):
    phase: Phase
    model: str = ""
    profile: str = ""
    adapter: str | None = None
    device: str = ""
    dtype: str = ""  # what it computes with, such as bfloat16
    context: int = (
        0  # tokens of a document that the model sees, by its speed; 0: not known
    )
    detail: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    eta_s: float | None = None
    fix: str = ""
    queue: int = 0  # requests not yet ended
    memory: int = 0  # bytes that the model takes on the device
    until: float | None = None  # when idle weights leave, in seconds since the epoch
    lent_to: str = ""  # sleeping: who borrows the device


class Hello(Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    version: str
    protocol: int = PROTOCOL
    limits: Limits
    status: Status
    clients: int = 0  # others that are connected


class State(Struct, frozen=True, kw_only=True, tag_field="type", tag="state"):
    id: str
    candidate: int = 0
    step: int
    of: int
    holes: list[list[str | int]]  # settled text, or a run of n masked tokens
    confidence: list[list[float]] | None = None


class Candidate(Struct, frozen=True, kw_only=True):
    holes: list[str]
    confidence: float | None = None
    finish: str


class Usage(Struct, frozen=True, kw_only=True):
    forwards_full: int = 0
    forwards_cached: int = 0
    steps: int = 0
    ms_first_state: float | None = None
    ms_total: float | None = None


class Result(Struct, frozen=True, kw_only=True, tag_field="type", tag="result"):
    id: str
    candidates: list[Candidate]
    usage: Usage


class Failure(Struct, frozen=True, kw_only=True, tag_field="type", tag="failure"):
    id: str | None
    code: Code
    message: str


Command = Sleep | Wake | UseAdapter | UseModel
ClientMessage = Infill | Cancel | Pin | Command
ServerMessage = Hello | Status | State | Result | Failure


class ProtocolError(ValueError):
    """A peer said something it may not; str() is one sentence fit to send back."""

    def __init__(
        self, message: str, *, code: Code = "bad_request", id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code: Code = code
        self.id = id
