"""Splits a stream of the Redis protocol (RESP 2 and 3) into whole messages, without decoding it."""

_AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
_BULKS = b"$=!"


def message_end(data: bytes | bytearray, start: int = 0) -> int | None:
    """Return where the message that begins at `start` ends, or None while it is incomplete."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind = bytes(data[start : start + 1])
    position = line_end + 2
    if kind in _BULKS:
        length = int(data[start + 1 : line_end])
        end = position if length < 0 else position + length + 2
        return end if end <= len(data) else None
    if kind in _AGGREGATES:
        # An attribute (`|`) precedes the reply that it belongs to: one more message.
        count = int(data[start + 1 : line_end]) * _AGGREGATES[kind] + (kind == b"|")
        for _ in range(count):
            end_of_item = message_end(data, position)
            if end_of_item is None:
                return None
            position = end_of_item
    return position


def take_messages(buffer: bytearray) -> list[bytes]:
    """Remove the whole messages at the front of `buffer` and return them."""
    messages, start = [], 0
    while start < len(buffer) and (end := message_end(buffer, start)) is not None:
        messages.append(bytes(buffer[start:end]))
        start = end
    del buffer[:start]
    return messages


def decode_command(message: bytes) -> list[bytes]:
    """Return the name and arguments of a command, the name in capitals."""
    parts, position = [], message.index(b"\r\n") + 2
    for _ in range(int(message[1 : position - 2])):
        line_end = message.index(b"\r\n", position)
        length = int(message[position + 1 : line_end])
        parts.append(message[line_end + 2 : line_end + 2 + length])
        position = line_end + 2 + length + 2
    parts[0] = parts[0].upper()
    return parts
