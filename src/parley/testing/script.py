"""The script of the scripted upstream: what the last message asks the double to say, and how to fail. Pure.

    say 40 tag=abc delay=0.01 cut=7 times=2

says ``abc:0000 abc:0001 ... abc:0039 `` with 0.01 s before each token, but cuts the connection behind the 7th token
of the first two requests that hold this very script. The text depends on tag and position alone, so a continued
answer joins exactly; with `vary` each token also holds the number of its request (``abc.r2:0003 ``), so that an
answer generated anew is a different one.

Words behind ``say N`` (a fault is used by the first `times` requests with this script; all, when not given):

    tag=T            names the tokens; default "t"
    delay=S          seconds before each token        first=S        seconds before the first one
    vary             tokens hold the number of the request
    reasoning=K      K tokens of reasoning first      finish=R       the finish reason; default "stop"
    calls=K          K calls of the function named by the tag last, with arguments {"number": 0}, {"number": 1} ... in
                     two parts each; none once the last message is a tool's
    runon            a text generation goes on behind its answer with a forged turn ("Human: ... Bot: ...")
    echo             a continued answer begins with the partial answer once more
    status=C         fault: answer with this status   retry_after=S  with this header
    estimated_time=S with this field in the body      html           fault: 200 with an HTML page
    garbage          fault: events that are not JSON  badutf8        each token ends with a byte that is not UTF-8
    cut=K            fault: cut the connection behind K tokens (here and below those of reasoning count too)
    hang=K           fault: fall silent behind K tokens, until the reader goes
    error=K          fault: an error object behind K tokens, then the end
    drip             each event is sent byte by byte  huge=B         the first token is padded to B bytes
    nodone           no end mark                      nofinish       neither finish reason nor end mark
    nulls            null, empty and role-only deltas, empty choices and comments in between
    refuse           a partial answer is refused with 400
    document         answers with one document although a stream was asked for
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

FORM = re.compile(r"\s*say\s+(\d{1,7})(?:\s+(.*))?", re.DOTALL)
TOKEN = re.compile(r"(?P<tag>[\w-]+?)(?:\.r(?P<run>\d+))?:(?P<at>\d{4,}) ")


class BadScript(ValueError):
    """The script has a word that means nothing; the message names it."""


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """What to say, and how."""

    say: int
    tag: str = "t"
    delay: float = 0.0
    first: float = 0.0
    vary: bool = False
    reasoning: int = 0
    calls: int = 0
    finish: str = "stop"
    runon: bool = False
    echo: bool = False
    times: int | None = None
    status: int | None = None
    retry_after: str | None = None
    estimated_time: float | None = None
    html: bool = False
    garbage: bool = False
    badutf8: bool = False
    cut: int | None = None
    hang: int | None = None
    error: int | None = None
    drip: bool = False
    huge: int = 0
    nodone: bool = False
    nofinish: bool = False
    nulls: bool = False
    refuse: bool = False
    document: bool = False

    def sound(self) -> "Script":
        """The same script without its faults."""
        return msgspec.structs.replace(
            self, status=None, html=False, garbage=False, cut=None, hang=None, error=None, refuse=False
        )

    def token(self, position: int, run: int) -> str:
        """The token at a position, in the run-th request with this script (from 1)."""
        name = f"{self.tag}.r{run}" if self.vary else self.tag
        return f"{name}:{position:04d} "

    def text(self, run: int = 1) -> str:
        """The whole answer of one request that was not interrupted."""
        return "".join(self.token(position, run) for position in range(self.say))

    def rest(self, partial: str, run: int) -> list[str] | None:
        """The tokens that follow a partial answer, the first of them perhaps a token's end; None: it is not ours.

        White space trimmed from the end of the partial answer is said again.
        """
        at = done = 0
        while match := TOKEN.match(partial, at):
            if match["tag"] != self.tag or int(match["at"]) != done or bool(match["run"]) != self.vary:
                return None
            at, done = match.end(), done + 1
        begun = partial[at:]
        tokens = [self.token(position, run) for position in range(done, self.say)]
        if not begun:
            return tokens
        if not tokens:
            return None
        whole = self._begun(begun, done, run)
        return None if whole is None else [whole[len(begun) :], *tokens[1:]]

    def _begun(self, begun: str, position: int, run: int) -> str | None:
        """The whole of a token that was cut; in its end it keeps the number of the request that began it."""
        older = re.match(rf"{re.escape(self.tag)}\.r(\d+):", begun)
        numbers = [int(older[1])] if older else [run, *range(1, run)]
        tokens = (self.token(position, number) for number in numbers)
        return next((token for token in tokens if token.startswith(begun)), None)


def parse_script(text: str) -> Script | None:
    """Read the script a message holds; None when it holds none.

    Raises:
        BadScript: it begins like a script, but has words that mean nothing.
    """
    match = FORM.fullmatch(text)
    if match is None:
        return None
    fields: dict[str, Any] = {"say": int(match[1])}
    for word in (match[2] or "").split():
        name, equals, value = word.partition("=")
        if name in fields:
            raise BadScript(f"{name!r} is given twice")
        fields[name] = value if equals else True
    try:
        script = msgspec.convert(fields, Script, strict=False)
    except msgspec.ValidationError as error:
        raise BadScript(str(error)) from None
    if not re.fullmatch(r"[\w-]+", script.tag):
        raise BadScript("a tag is made of letters, digits, _ and -")
    return script
