"""How many messages are in a queue, by names in directories alone: seconds for a million, in constant memory."""

import os

from ..errors import UserError


def count_queue(queue):
    """Count the messages of a queue.

    :param Queue queue: see ``backend.py``
    :returns: (total, held, todo): messages that are to be delivered; held ones, which are not in ``total``; those not
        yet preprocessed, of ``total`` (None: the MTA has no such state)
    """
    return queue.count()


def count_state(directory):
    """:func:`count_files` of the directory of one of Postfix's states, which is there wherever Postfix was started.

    :raises UserError: it is not, which is no empty queue
    """
    if not os.path.isdir(directory):
        raise UserError(
            "{0} is not there or no directory, so the queue can't be counted; `postfix check` makes what is "
            "missing.".format(directory)
        )
    return count_files(directory)


def count_files(directory):
    """Files below a directory whose hashed subdirectories have names of one character, as Postfix makes them.

    A directory that is not there, or goes away meanwhile, has none; a symbolic link leads nowhere.
    """
    count = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if len(entry.name) == 1:
                    count += count_files(entry.path) if entry.is_dir(follow_symlinks=False) else 0
                elif entry.name[0] != ".":
                    count += 1
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return count
