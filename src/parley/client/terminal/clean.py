"""Text that may go to a terminal: control sequences are taken out of what models and people write.

What is left holds no control character but newline and tab, so nobody's text can move the cursor, set the title,
reach the clipboard or hide what it says.
"""

import re

# The openers of ECMA-48: CSI; the strings OSC, DCS, SOS, PM, APC, which end at ST or BEL and here at a newline too,
# so that a stray opener does not swallow the rest; two-character escapes; single controls.
SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*(?:[@-~]|$)?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
# The beginning of a sequence whose end may be still to come.
BEGUN = re.compile(
    r"(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*\x1b?|\x1b[ -/]*)\Z"
)
# More than that is no sequence, and is not waited for.
LONGEST = 4096


# JSON writes the first 32 control characters as escapes, and leaves these as they are.
UNESCAPED = re.compile(r"[\x7f-\x9f]")


def json_line(data: bytes) -> str:
    """JSON that may go to a terminal, and means the same."""
    return UNESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", data.decode())


def clean(text: str) -> str:
    """The text without control sequences."""
    return SEQUENCE.sub("", text)


class Cleaner:
    """Cleans text that comes in pieces: a sequence may be cut anywhere."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """The clean text that is certain by now."""
        text = self._held + text
        begun = BEGUN.search(text)
        at = begun.start() if begun and len(text) - begun.start() <= LONGEST else len(text)
        self._held = text[at:]
        return clean(text[:at])

    def end(self) -> str:
        """The rest, when no more will come."""
        held, self._held = self._held, ""
        return clean(held)
