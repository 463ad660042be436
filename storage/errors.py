"""Errors of data at rest.

    StorageError            exit 5: a store or a file does not do what it must
    ├── HotStoreError       the hot tier refused, broke off or is not there
    ├── VerificationError   a copy differs from its source, or a file from its manifest
    ├── MovedError          rows moved or came in while a long read went on; begin it again
    ├── ManifestError       the chain of manifests is broken, or names what is not there
    └── RefusedError        the move would lose rows or is not due; nothing was done
    InputError              exit 2: a file, column, key or query that cannot be used

Messages are one line: what was wrong, where, and what would be accepted.
"""


class StorageError(Exception):
    """A store or a file does not do what it must."""


class HotStoreError(StorageError):
    """The hot tier refused, broke off or is not there."""


class VerificationError(StorageError):
    """A copy differs from its source, or a file from its manifest."""


class ManifestError(StorageError):
    """The chain of manifests is broken, or names what is not there."""


class MovedError(StorageError):
    """Rows moved or came in while they were read portion by portion; begin again."""


class RefusedError(StorageError):
    """The move would lose rows or is not due; nothing was done."""


class InputError(Exception):
    """A file, column, key or query that cannot be used."""
