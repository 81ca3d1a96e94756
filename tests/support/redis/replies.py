"""Error replies as the versions of Redis send them, for what must never be taken for a job's."""

from collections.abc import Iterator

SERVER_ERRORS = {
    "BUSY": "Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN": "The cluster is down",
    "ERR": "max number of clients reached",
    "LOADING": "Redis is loading the dataset in memory",
    "MASTERDOWN": "Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MISCONF": "Errors writing to the AOF file: No space left on device",
    "NOAUTH": "Authentication required.",
    "NOPERM": "this user has no permissions to run the 'evalsha' command",
    "NOREPLICAS": "Not enough good replicas to write.",
    "OOM": "command not allowed when used memory > 'maxmemory'.",
    "READONLY": "You can't write against a read only replica.",
    "SURPRISE": "a word of a later version",
    "TRYAGAIN": "Multiple keys request during rehashing of slot",
    "UNBLOCKED": "force unblock from blocking operation, instance state changed",
    "WRONGPASS": "invalid username-password pair or user is disabled.",
    "WRONGTYPE": "Operation against a key holding the wrong kind of value",
}
"""The first word of a reply and the rest of it."""

CREDENTIALS = ("NOAUTH", "NOPERM", "WRONGPASS")
SHA = "0123456789abcdef0123456789abcdef01234567"
LUA_FAULTS = (
    f"ERR user_script:9: attempt to index a nil value script: {SHA}, on @user_script:9.",
    f"ERR Error running script (call to f_{SHA}): @user_script:9: user_script:9: attempt to call",
    f"ERR bad argument #2 to 'unpack' (data string too short) script: {SHA}, on @user_script:9.",
)
"""What Lua itself says of a script, as 7.0 and 6.2 send it."""


def forms(word: str) -> Iterator[str]:
    """Yield a reply plain, and as it comes out of a script in 7.0 and in 6.2."""
    reply = f"{word} {SERVER_ERRORS[word]}"
    yield reply
    yield f"{reply} script: {SHA}, on @user_script:9."
    wrapped = f"ERR Error running script (call to f_{SHA}): @user_script:9: "
    yield f"{wrapped}{reply}"
    yield f"{wrapped}@user_script: 9: -{reply}"
