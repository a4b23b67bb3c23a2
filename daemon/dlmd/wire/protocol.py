"""What is said between a client and the daemon: the codec, and Session, the rules.

JSON text, one message per WebSocket frame. What a peer does wrong becomes a ProtocolError
of one sentence. Session holds the legality of a conversation as the daemon sees it: each id
ends exactly once. The messages themselves are in messages.py and exported from here.
This file does no I/O and must not know sockets, threads, asyncio, models or tensors.
"""

from collections import deque

import msgspec

from dlmd.wire.complaints import complaints, explain, shown
from dlmd.wire.messages import (
    LARGEST_SEED,
    PROTOCOL,
    SERVING,
    Cancel,
    Candidate,
    ClientMessage,
    Code,
    Command,
    Failure,
    Hello,
    HolePart,
    HoleSpec,
    Infill,
    Limits,
    Mode,
    Phase,
    Pin,
    ProtocolError,
    Result,
    ServerMessage,
    Sleep,
    State,
    Status,
    Turn,
    Usage,
    UseAdapter,
    UseModel,
    Wake,
    hole,
)

__all__ = [
    "LARGEST_SEED",
    "PROTOCOL",
    "SERVING",
    "Cancel",
    "Candidate",
    "ClientMessage",
    "Code",
    "Command",
    "Event",
    "Failure",
    "Hello",
    "HolePart",
    "HoleSpec",
    "Infill",
    "Limits",
    "Mode",
    "Phase",
    "Pin",
    "ProtocolError",
    "Result",
    "ServerMessage",
    "Session",
    "Sleep",
    "State",
    "Status",
    "Turn",
    "Usage",
    "UseAdapter",
    "UseModel",
    "Wake",
    "decode_client",
    "decode_server",
    "encode",
    "hole",
]


def encode(message: ClientMessage | ServerMessage) -> str:
    try:
        return msgspec.json.encode(message).decode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, from an editor
        raise ProtocolError(
            "the text holds half of a surrogate pair, expected whole Unicode characters; "
            "save the file as UTF-8 and try again"
        ) from error


def decode_client(text: str, limits: Limits | None = None) -> ClientMessage:
    limits = limits or Limits()
    try:
        message = _CLIENT.decode(text)
    except _REFUSALS as error:
        raise explain(text, error, ClientMessage, limits) from error
    for complaint in complaints(message, limits):
        raise complaint
    return message


def decode_server(text: str) -> ServerMessage:
    try:
        return _SERVER.decode(text)
    except _REFUSALS as error:
        raise explain(text, error, ServerMessage, Limits()) from error


_CLIENT: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_SERVER: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
# RecursionError: nested too deep. UnicodeEncodeError: a lone surrogate in the text itself.
_REFUSALS = (msgspec.DecodeError, RecursionError, UnicodeEncodeError)


# ---- the conversation, as the daemon sees it

Event = ClientMessage | Failure  # to carry out, or to send back to the peer


class Session:
    """Who may say what when, for one connection. Text in, events out; messages in, text out.

    A failure that answers no open request, or that would end a request which goes on,
    carries the id null: an id hears of its end once. Sleep, wake and use_adapter take an
    id as an infill does, and end as it does.
    """

    _REMEMBERED = 4096  # ended ids kept, to tell a late cancel from a wrong one

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._greeted = False
        self._open: dict[str, int] = {}  # with the number of its holes
        self._closing: set[str] = set()  # open, but the client wants no more states
        self._ended: set[str] = set()
        self._ended_order: deque[str] = deque()

    @property
    def open_ids(self) -> frozenset[str]:
        return frozenset(self._open)

    def receive(self, text: str) -> list[Event]:
        """What one frame of the client asks for. A Failure in the list goes to send()."""
        try:
            message = decode_client(text, self.limits)
        except ProtocolError as error:
            return [self._refuse(error)]
        if isinstance(message, Cancel):
            return self._receive_cancel(message)
        if isinstance(message, Pin):
            return self._receive_pin(message)
        return self._receive_new(message)

    def send(self, message: ServerMessage) -> str | None:
        """The frame to write now, or None where the client no longer waits for it."""
        if isinstance(message, Hello):
            assert not self._greeted, "hello is said once"
            self._greeted = True
        assert self._greeted, "hello comes first"
        if isinstance(message, State) and (
            message.id not in self._open or message.id in self._closing
        ):
            return None
        if isinstance(message, Result | Failure) and message.id is not None:
            if message.id not in self._open:
                return None
            self._end(message.id)
        return encode(message)

    def _receive_cancel(self, message: Cancel) -> list[Event]:
        if message.id in self._open:
            if message.id in self._closing:
                return []
            self._closing.add(message.id)
            return [message]
        if message.id in self._ended:  # crossed with the result on its way
            return []
        complaint = (
            f"cancel names the id {shown(message.id)}, which no request of this "
            "connection has; cancel with the id of the infill"
        )
        return [Failure(id=None, code="bad_request", message=complaint)]

    def _receive_pin(self, message: Pin) -> list[Event]:
        if message.id in self._closing or message.id in self._ended:
            return []
        holes = self._open.get(message.id, 0)
        if message.hole < holes:
            return [message]
        complaint = (
            f"pin names hole {message.hole} of {shown(message.id)}, which has {holes} "
            "holes; pin a hole, counted from 0, of an infill that is open"
        )
        return [Failure(id=None, code="bad_request", message=complaint)]

    def _receive_new(self, message: Infill | Command) -> list[Event]:
        id = message.id
        if id in self._open or id in self._ended:
            complaint = (
                f"id {shown(id)} was used before on this connection; "
                "give every request an id of its own"
            )
            return [Failure(id=None, code="bad_request", message=complaint)]
        self._open[id] = 0
        if isinstance(message, Infill):
            self._open[id] = sum(isinstance(p, HolePart) for p in message.parts)
            if message.supersedes in self._open:
                self._closing.add(message.supersedes)
        live = len(self._open) - len(self._closing)
        # Closing requests end within a step; a flood of them is bounded all the same.
        if live > self.limits.max_open or len(self._open) > 2 * self.limits.max_open:
            complaint = (
                f"{len(self._open) - 1} requests are open, expected at most "
                f"{self.limits.max_open}; wait for one to end or cancel one"
            )
            return [Failure(id=id, code="busy", message=complaint)]
        return [message]

    def _refuse(self, error: ProtocolError) -> Failure:
        id = error.id
        if id is not None:
            if id in self._open or id in self._ended:
                id = None
            else:
                self._open[id] = 0  # until send() ends it with this failure
        return Failure(id=id, code=error.code, message=str(error))

    def _end(self, id: str) -> None:
        self._open.pop(id, None)
        self._closing.discard(id)
        self._ended.add(id)
        self._ended_order.append(id)
        if len(self._ended_order) > self._REMEMBERED:
            self._ended.discard(self._ended_order.popleft())
