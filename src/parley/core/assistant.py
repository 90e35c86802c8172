"""An assistant: a model under a name of its own, with instructions, a window and parameters."""

from msgspec import Struct

from parley.core.message import Parameters
from parley.core.window import Window


class Assistant(Struct, frozen=True, forbid_unknown_fields=True):
    """What people choose from the menu. `model` is a model's name; empty: the default one.

    `instructions` are shown to the model before every window and to nobody else.
    """

    name: str
    model: str = ""
    instructions: str = ""
    window: Window = Window()
    parameters: Parameters = Parameters()
