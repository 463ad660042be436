"""What a process does with memory while it has to answer within milliseconds.

Objects that nobody reaches any more are freed at once; the garbage collector looks for those that
only reach each other. It comes whenever enough objects were made, so now and then a decision would
wait for it: a millisecond for young objects, some fifty for all that programs, compiled code and
instances of 1,800 instruments consist of. So what lives on is left alone, and young objects are
looked at when nothing else is to be done.
"""

import gc

# By themselves collections come only if there was no quiet moment for very long.
_YOUNG_MAX = 50_000
# In a quiet moment they come after as many objects as Python takes for the others.
_YOUNG, _MIDDLE, _OLD = 700, 10, 100


def settle_memory() -> None:
    """Let collections leave alone what is there now, because it lives on.

    Call this when a start is over; once more when what lives on was replaced.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_MAX, _MIDDLE, _MIDDLE)


def tidy_memory() -> None:
    """Collect now if enough objects were made since the last time."""
    young, middle, old = gc.get_count()
    if young > _YOUNG:
        gc.collect(2 if old > _OLD else int(middle > _MIDDLE))
