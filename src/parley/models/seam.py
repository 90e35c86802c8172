"""The seam: where a continued answer meets the part that stands already.

Templates and tokenizers do badly with a partial answer that ends in white space: many trim it, and a model that
does see it goes astray (the demo model goes on behind "The capital of " with "2022", behind "The capital of" with
" Italy"). So the white space at the end is held back from the model and dropped again from the front of what
follows. Some servers also repeat the partial answer first; that repetition is dropped too.
"""


class Seam:
    """Joins what a model says to the partial answer it was given. `sent` is what to give it."""

    def __init__(self, partial: str, *, echoed: bool = False) -> None:
        self.sent = partial.rstrip()
        # What may stand once more at the front of the continuation, and is then dropped.
        self._gap = partial[len(self.sent) :]
        self._echo = self.sent if echoed else ""
        # An echo under way: held back until it is whole, or turns out to be none.
        self._held = ""
        # Nothing is to be dropped any more: what the model says is new.
        self.closed = not (self._gap or self._echo)

    def join(self, text: str) -> str:
        """Take the next text of the model; return what of it is new."""
        if self._echo:
            text, self._held = self._held + text, ""
            if len(text) < len(self._echo) and self._echo.startswith(text):
                self._held = text
                return ""
            text, self._echo = text.removeprefix(self._echo), ""
        while self._gap and text:
            if text[0] != self._gap[0]:
                self._gap = ""
                break
            text, self._gap = text[1:], self._gap[1:]
        self.closed = not self._gap
        return text

    def close(self) -> str:
        """The answer is over; return what was still held back."""
        held, self._held = self._held, ""
        return held
