"""The commands there are, which of them are always obeyed, and how long a flattening may take.

Decides names alone: whoever gives a command and whoever judges it read them here, and giving one
needs nothing of what obeys it.
"""

from typing import Final

from executor.core.contract import CommandName

FLAT_S: Final = 30.0
ALWAYS: Final = frozenset({CommandName.KILL, CommandName.FLATTEN})
# What is said of the bot and not of one process: a standby that did not hear that a kill is over
# would close everything when it takes over.
EVERYWHERE: Final = ALWAYS | {CommandName.PAUSE, CommandName.RESUME, CommandName.RESET}
REVERT: Final = "revert"
NAMES: Final = (*(str(name) for name in CommandName), REVERT)
