"""Context managers that are started on entry and closed on exit, even if half started."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Lifetime(ABC):
    """A context manager out of a start and a close."""

    @abstractmethod
    def start(self) -> Self:
        """Start, and return this object."""

    @abstractmethod
    def close(self) -> None:
        """Stop everything and remove what it left behind."""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
