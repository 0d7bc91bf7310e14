#!/usr/bin/env bash
# Numba 0.68.1, @njit(cache=True): a class that an argument had is renamed, or moved, in the next version.
#
# An edited source file is no problem for the cache: its entry is stale, and the function is compiled
# again. But the index of the cache pickles the types of the arguments, and a named tuple by the name of
# its class; it is unpickled before anybody looks whether it is stale. So the first call after the
# rename raises AttributeError from pickle ("Can't get attribute"), and goes on to do so in every
# process until somebody finds the file in __pycache__ and deletes it: nothing recompiles it.
#
# Seen for one function of a named tuple: 42; 42 again after an edit of its body; AttributeError twice
# once the class has another name; 42 after the index was deleted.
#
# Why it matters: a package with cached kernels breaks on machines where the version before had run (an
# upgrade in place, an editable install, a shared home), and on no fresh one: CI never sees it. What to
# do: name the cache's folder after the version, or remove indices that cannot be read before compiling.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv v && v/bin/pip install -q numba==0.68.1 numpy==2.4.6
kernel() {  # CLASS FACTOR
    cat > kernel.py <<P
from typing import NamedTuple

from numba import njit


class $1(NamedTuple):
    number: int


@njit(cache=True)
def times(of):
    return $2 * of.number


print(times($1(42 // $2)))
P
}
run() { v/bin/python -c 'import kernel' 2>&1 | tail -1 || true; }
kernel State 2; first=$(run)
kernel State 6; edited=$(run)
kernel MemberState 6; renamed=$(run); again=$(run)
rm __pycache__/*.nbi; deleted=$(run)
printf '%s\n' "as written: $first" "edited: $edited" "renamed: $renamed" "again: $again" "index deleted: $deleted"
[[ $first == 42 && $edited == 42 && $deleted == 42 ]]
[[ $renamed == "AttributeError: Can't get attribute 'State'"* && $again == "$renamed" ]]
