"""Local videos of which a request carries but the address."""

from qwen_vl.content import Source, Video
from qwen_vl.media.ready import find_video_type
from qwen_vl.media.upload.storage import TemporaryStorage
from qwen_vl.media.video.container import HEAD_BYTES
from qwen_vl.media.video.file import open_file
from qwen_vl.request import MediaPolicy


def check_upload(part: Video, source: Source, policy: MediaPolicy) -> None:
    """Look at the head of a video that will be uploaded, so that nothing is sent in vain.

    Args:
        part: The video.
        source: Its source: a file, an open file, or bytes.
        policy: Which files may be read.

    Raises:
        MediaError: It is not there, may not be read, or is no video.
    """
    with open_file(source, policy, part.where) as file:
        file.seek(0)
        find_video_type(file.read(HEAD_BYTES), part.where)


def upload_video(
    part: Video, source: Source, policy: MediaPolicy, storage: TemporaryStorage, model: str
) -> str:
    """Put a video into the service's temporary storage, whole, in memory that does not grow.

    Args:
        part: The video.
        source: Its source: a file, an open file, or bytes.
        policy: Which files may be read.
        storage: Where it is put.
        model: The model that will read it.

    Returns:
        Its address, `oss://…`.

    Raises:
        MediaError: It cannot be read, is no video, or longer than the storage takes.
        ServiceError: It could not be stored.
    """
    with open_file(source, policy, part.where) as file:
        file.seek(0)
        media_type = find_video_type(file.read(HEAD_BYTES), part.where)
        return storage.put(file, media_type, model, part.where)
