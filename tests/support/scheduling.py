"""Which tests run on which worker of pytest-xdist."""

from functools import cached_property
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling


class OneByOne(LoadScopeScheduling):  # type: ignore[misc]  # which is not typed
    """Gives a test to whichever worker is free.

    The tests of a file with a fixture that lasts for the file stay together: they go on where the last one ended, or
    share engines that take seconds to start. --dist loadgroup is no way to say so: with pytest 9.2, xdist 3.8 loses the
    name of the group.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in self._files_kept_together else nodeid

    @cached_property
    def _files_kept_together(self) -> set[str]:
        assert self.collection is not None
        files = {nodeid.partition("::")[0] for nodeid in self.collection}
        return {each for each in files if 'scope="module"' in self._text(each)}

    def _text(self, file: str) -> str:
        return Path(self.config.rootpath, file).read_text()
