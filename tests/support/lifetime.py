"""What is started on entering a `with` and closed on leaving it, half-started or not."""

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
        """End everything and remove what it left."""

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
