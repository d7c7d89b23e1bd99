"""What people do with playbooks/queue.yml, on a host whose queue holds spam and other mail."""

import queue_host


def use_playbook(host, select, total, selected, quarantine=queue_host.QUARANTINE):
    """List, refuse, restore and delete as asked, until the queue is empty; what it shows is what happened.

    :param dict select: means the spam
    :param int total: messages in the queue, and in no run of the quarantine
    :param int selected: how many of them are spam
    """

    def play(words, refused=False, **variables):
        done = queue_host.playbook(host, mail_queue_quarantine_dir=quarantine, **variables)
        said = " ".join(done.stdout.split())
        assert (done.returncode != 0) == refused, done.stdout
        assert "Traceback" not in said
        for word in words:
            assert word in said, done.stdout

    play(["{0} messages in the queue".format(total), "{0} selected".format(selected)], queue_select=select)
    deletes = {"queue_action": "delete", "queue_select": select}
    refused = [
        ({"queue_action": "delete"}, "nothing says which messages are meant"),
        (dict(deletes, queue_confirm=selected + 1), "but {0} messages match; nothing was changed".format(selected)),
    ]
    for variables, words in refused:
        play([words], refused=True, **variables)
    taken = queue_host.module(host, "mail_queue", state="quarantined", select=select, quarantine_dir=quarantine)
    assert (taken["matched"], taken["moved"]) == (selected, selected), "what was refused was done"
    shown = "{0} of {0} selected messages were ".format(selected)
    play([shown + "restored"], queue_action="restore", queue_run=taken["run"])
    play([shown + "deleted"], queue_confirm=selected, **deletes)
    rest = "{0} of {0} selected messages were deleted".format(total - selected)
    play([rest], queue_action="delete", queue_all=True, queue_confirm=host.name)
