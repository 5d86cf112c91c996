"""Is there room on the disk? What does not fit is refused in a sentence, and nothing of it is kept."""

import errno

from django.core.files import File
from django.db.models.fields.files import FieldFile

from coalition.editing import Refused

FULL = (errno.ENOSPC, errno.EDQUOT)


class NoRoom(Refused):
    """The disk is full."""

    status = 507
    code = "no_room"

    def __init__(self) -> None:
        super().__init__("The server's disk is full. Nothing of this was saved. Ask an administrator to make room.")


def is_full(error: BaseException | None) -> bool:
    """Return True where an error says that the disk, or somebody's share of it, is full."""
    return isinstance(error, OSError) and error.errno in FULL


def keep(place: FieldFile, name: str, content: File) -> None:
    """Write a file whole, under this name below the field's folder; the row is the caller's to save. Raise NoRoom.

    ``name`` must be one that nobody else uses: what a failed write leaves of it is removed.
    """
    goal = place.field.generate_filename(place.instance, name)
    try:
        place.save(name, content, save=False)
    except BaseException as error:
        place.storage.delete(goal)  # the storage leaves what was written until the disk was full
        if is_full(error):
            raise NoRoom from error
        raise
