"""`asyncendpoints completion SHELL`: a script by which a shell completes commands and options."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from argparse import Namespace

SCRIPTS: Final = {
    "bash": """\
_asyncendpoints() {
    local IFS=$'\\n'
    COMPREPLY=($(asyncendpoints completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _asyncendpoints asyncendpoints
""",
    "zsh": """\
#compdef asyncendpoints
_asyncendpoints() {
    local -a found
    found=(${(f)"$(asyncendpoints completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    (( $#found )) && compadd -a found || _files
}
if [[ ${funcstack[1]} == _asyncendpoints ]]; then
    _asyncendpoints "$@"  # loaded from a folder of $fpath, to complete at once
else
    compdef _asyncendpoints asyncendpoints
fi
""",
    "fish": """\
function __asyncendpoints
    set -l words (commandline -opc) (commandline -ct)
    set -l found (asyncendpoints completion words -- $words[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c asyncendpoints -f -a '(__asyncendpoints)'
""",
}


def execute(options: Namespace) -> int:
    """Print the script of a shell."""
    sys.stdout.write(SCRIPTS[options.shell])
    return 0
