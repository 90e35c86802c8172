"""The raw prompt of models that know no chat form: ``Human: Hello Bot: Hi Human: Again Bot:``. Pure.

Nobody can forge a turn. In everything that was said:

    - the colon of anything that reads as a speaker's label (``Human:``, ``bot :``) becomes U+A789, a letter that
      looks like one, so the only labels in a prompt are ours;
    - a space is put behind the opening of anything that reads as a control token of a chat template
      (``<|im_end|>``, ``</s>``, ``[INST]``, ``<<SYS>>``, ``<start_of_turn>``), so that no tokenizer takes it for one.

Both are applied to what the model sees, never to what is stored.
"""

import re

from parley.core.message import Transcript

HUMAN, BOT = "Human:", "Bot:"

COLON = "\ua789"
LABEL = re.compile(r"(\b(?i:human|bot)|Human|Bot)(\s*)[:\uff1a]")
CONTROL = re.compile(
    r"(<<|<|\[)(?=\||\uff5c|/?(?:s|INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS"
    r"|bos|eos|unk|pad|sep|cls|mask|start_of_turn|end_of_turn|start_of_role|end_of_role|endoftext|end_of_text"
    r"|think|im_start|im_end)[\]>|])",
    re.IGNORECASE,
)


def raw_prompt(transcript: Transcript) -> str:
    """Write a transcript as one line of labelled turns that ends where the model is to go on.

    Instructions stand in front without a label; a partial answer stands behind the last label.
    """
    parts = []
    for message in transcript.messages:
        text = escape(message.content.strip())
        if message.role == "user":
            parts.append(f"{HUMAN} {text}")
        elif message.role == "assistant":
            parts.append(f"{BOT} {text}")
        else:
            parts.append(text)
    parts.append(f"{BOT} {escape(transcript.partial)}" if transcript.partial else BOT)
    return " ".join(parts)


def escape(text: str) -> str:
    """The text with its labels and control tokens made harmless; the same text gives the same result."""
    return CONTROL.sub(r"\1 ", LABEL.sub(rf"\1\2{COLON}", text))
