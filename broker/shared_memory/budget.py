"""What all nodes of this process take for shared memory together: bytes and descriptors."""

from __future__ import annotations

from threading import Lock

from ..limits import allowed


class Budget:
    """Bytes and descriptors that are taken, of those there are at the most."""

    def __init__(self, nbytes: int, descriptors: int) -> None:
        self._most = (nbytes, descriptors)
        self._taken = [0, 0]
        self._lock = Lock()

    @property
    def taken(self) -> tuple[int, int]:
        return self._taken[0], self._taken[1]

    def take(self, nbytes: int, descriptors: int) -> bool:
        """Take both, or nothing if there is too little of one."""
        with self._lock:
            if self._taken[0] + nbytes > self._most[0] or self._taken[1] + descriptors > self._most[1]:
                return False
            self._taken[0] += nbytes
            self._taken[1] += descriptors
            return True

    def give(self, nbytes: int, descriptors: int) -> None:
        with self._lock:
            self._taken[0] -= nbytes
            self._taken[1] -= descriptors


OF_PROCESS = Budget(allowed("shared_bytes_in_all"), allowed("shared_descriptors"))
