"""The one exception that means: the input is at fault, and here is what to do about it."""

from __future__ import annotations

import errno
import os
import re
import sys


class ZooError(Exception):
    """One line for the person at the keyboard: what is wrong, where, and what was expected.

    The command line prints it to stderr and exits with status 2; anything else that escapes is a bug.
    """


def note(text: str) -> None:
    """A line for the person at the keyboard: what was found in the input, and what is made of it."""
    print(f"zoo: note: {text}", file=sys.stderr)


_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EFBIG: "the file would exceed the size limit",
    errno.EIO: "the disk reports an input/output error",
}


def causes(error: BaseException):
    """An exception, and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def explain(error: BaseException) -> str | None:
    """The line that a person should read for `error`, or None if it isn't theirs to mend.

    TensorFlow writes files itself and wraps the operating system's answer in its own exceptions; TFDS wraps those. What
    a `tf.data` generator raises comes out as an exception of TensorFlow's too, with the line in its text.
    """
    return next(filter(None, map(_explain, causes(error))), None)


def _explain(error: BaseException) -> str | None:
    if isinstance(error, ZooError):
        return str(error)
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.EACCES, errno.EPERM):  # reading may have been what was denied
            return f"permission denied{where}; expected a path to read and write (--runs names another)"
        if error.errno in _DISK:
            return f"cannot write: {_DISK[error.errno]}{where}; free some space or name another folder with --runs"
        if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError)):
            return f"{error.filename}: {error.strerror}"
    if type(error).__module__.startswith("tensorflow"):
        ours = re.search(r"\bZooError: (.+)", str(error))
        if ours:
            return ours[1]
        text = " ".join(str(error).split())
        for code, meaning in _DISK.items():
            if os.strerror(code) in text:
                return f"cannot write: {meaning}: {text[:200]}"
    return None
