"""Attributes that are computed once, by threads that do not wait for each other."""

from __future__ import annotations

import threading

from xlr.cached import cached_property


class Meeting:
    """Of which an attribute takes a meeting of two threads."""

    both = threading.Barrier(2, timeout=10)

    @cached_property
    def size(self) -> int:
        """What it is."""
        self.both.wait()
        return 2


def test_two_threads_compute_theirs_at_once():
    """A lock of the class, as before Python 3.12, would be forked with its holder."""
    meetings, found = [Meeting(), Meeting()], []
    threads = [
        threading.Thread(target=lambda m=m: found.append(m.size)) for m in meetings
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2, 2]
    # And nobody meets again.
    assert [meeting.size for meeting in meetings] == [2, 2]
    assert Meeting.size.__doc__ == "What it is."
