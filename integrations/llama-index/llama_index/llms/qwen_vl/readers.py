"""Readers of files: by the tasks of the OCR models, and by document parsing with boxes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any, TypeAlias, Unpack
from uuid import NAMESPACE_URL, uuid5

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document
from typing_extensions import override

from llama_index.llms.qwen_vl.base import QwenVL
from qwen_vl.documents.options import ParserOptions
from qwen_vl.documents.parser import DocumentParser
from qwen_vl.documents.records import PROGRAM_KEYS, RecordMode, check_mode, to_records
from qwen_vl.documents.results import ParsedPage
from qwen_vl.generators import Owned
from qwen_vl.ocr.reader import DEFAULT_CONCURRENCY, OcrPage, OcrReader
from qwen_vl.ocr.results import OcrResult, read_ocr_result
from qwen_vl.request.ocr import OcrTask
from qwen_vl.retrieval.files import FrameOptions
from qwen_vl.retrieval.references import check_frames_folder, find_references
from qwen_vl.specs.models import DEFAULT_OCR_MODEL

File: TypeAlias = str | PurePath
# Places, values and tables would be longer than the text, and are of use only to programs.
_FOR_PROGRAMS = ("words", "in_pixels", "values", "tables")


def to_ocr_result(response: ChatResponse, task: OcrTask) -> OcrResult:
    """Read from an answer what a task found.

    Args:
        response: The answer, or the last response of a stream.
        task: The `ocr_task` that was asked for.

    Raises:
        AnswerFormatError: The answer does not have the form that the task promises.

    Example:
        >>> from llama_index.core.llms import ChatMessage
        >>> answer = ChatResponse(message=ChatMessage('{"total": "12.50"}', role="assistant"))
        >>> to_ocr_result(answer, "key_information_extraction").values
        {'total': '12.50'}
    """
    text = response.message.content or ""
    return read_ocr_result(task, text, response.additional_kwargs.get("ocr_result"))


class QwenVLOCRReader(BaseReader):
    """Reads images and PDF files into documents, one for each page.

    The text is what was read; the metadata has `source`, `page` (from 1 on), `total_pages` and
    `task`, and `words`, `values` or `tables` where the task finds any. The latter are shown
    neither to language nor to embedding models.

    Args:
        llm: Whom to ask, with all that is set there: key, region, protocol, `pdf_dpi`,
            `pdf_max_pages`, `media_roots`. `QwenVL("qwen-vl-ocr")` where none is given.
        task: What to do with each page; plain text where nothing says otherwise.
        result_schema: What `"key_information_extraction"` should find.
        pages: Which pages of each PDF, from 1 on: `[1, 2, 7]` or `"1-2,7"`.
        dpi: Dots per inch at which they are rendered.
        max_concurrency: Maximum number of pages that the async methods read at the same time.

    Raises:
        ConfigurationError: The task cannot be asked for.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     llm = QwenVL("qwen-vl-ocr", api_base=sandbox.base_url, api_key="sk-sandbox")
        ...     (document,) = QwenVLOCRReader(llm).load_data(CHELSEA)
        >>> document.metadata["page"], document.metadata["task"]
        (1, 'text_recognition')
    """

    def __init__(
        self,
        llm: QwenVL | None = None,
        *,
        task: OcrTask | None = None,
        result_schema: Mapping[str, Any] | None = None,
        pages: str | Sequence[int] | None = None,
        dpi: float | None = None,
        max_concurrency: int = DEFAULT_CONCURRENCY,
    ) -> None:
        self._reader = OcrReader(
            llm or QwenVL(DEFAULT_OCR_MODEL),
            task=task,
            result_schema=result_schema,
            pages=pages,
            dpi=dpi,
            max_concurrency=max_concurrency,
        )

    @override
    def lazy_load_data(
        self,
        file: File | Iterable[File],
        extra_info: Mapping[str, Any] | None = None,
        fs: Any = None,
    ) -> Iterator[Document]:
        """Read one page after the other, each when it is wanted.

        `load_data` takes the same and gives a list, so that `SimpleDirectoryReader` can use it.

        Args:
            file: Images and PDF files, one or several: paths, or URLs of images.
            extra_info: Put into the metadata of each page; what this package knows counts first.
            fs: The `fsspec` file system that they are in, if it is not this machine's.

        Raises:
            MediaError: A file cannot be read, or is neither image nor PDF.
            AnswerFormatError: An answer does not have the form of the task.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        for page in self._reader.read(_open_each(file, fs)):
            yield _to_document(page, extra_info)

    @override
    async def alazy_load_data(
        self,
        file: File | Iterable[File],
        extra_info: Mapping[str, Any] | None = None,
        fs: Any = None,
    ) -> Iterable[Document]:
        """Read several pages at the same time; see `lazy_load_data`.

        All pages are there when it returns: LlamaIndex goes over them without waiting.
        """
        return await self.aload_data(file, extra_info, fs)

    @override
    async def aload_data(
        self,
        file: File | Iterable[File],
        extra_info: Mapping[str, Any] | None = None,
        fs: Any = None,
    ) -> list[Document]:
        """Read several pages at the same time; see `lazy_load_data`."""
        pages: Any = self._reader.aread(_open_each(file, fs))
        async with Owned(pages) as owned:
            return [_to_document(page, extra_info) async for page in owned]


class QwenVLDocumentReader(BaseReader):
    """Reads images and PDF files into documents, one for each block, with its box in pixels.

    The text is that of a block, LaTeX of a formula, or a table as HTML (LaTeX in the Markdown
    form). The metadata has `source`, `page` (from 1 on), `total_pages`, `kind`, `box`
    (`[x1, y1, x2, y2]`), `block` (its index on the page), `page_width`, `page_height`, and what
    else is known of the block; all but `source`, `page`, `kind` and `notation` are shown neither
    to language nor to embedding models. With `mode="page"` a document is a page as Markdown, with
    its `blocks` in the metadata.

    Args:
        llm: The model to ask, with all that is set there: key, region, protocol, `pdf_dpi`,
            `pdf_max_pages`, `media_roots`; `QwenVL()` if `None`.
        mode: Whether a document is a block or a page.
        **options: As of `qwen_vl.DocumentParser`: `form`, `pages`, `dpi`, `max_tokens`,
            `max_concurrency`, `ledger`, `on_page` and others. Errors of pages are raised here,
            unless `raise_errors=False`: pages that fail are left out with a warning then.

    Raises:
        ConfigurationError: An option is wrong, or the model does not know the form.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     llm = QwenVL(api_base=sandbox.base_url, api_key="sk-sandbox")
        ...     document, *_ = QwenVLDocumentReader(llm).load_data(CHELSEA)
        >>> document.metadata["kind"], document.metadata["box"]
        ('paragraph', [0, 0, 451, 300])
    """

    def __init__(
        self,
        llm: QwenVL | None = None,
        *,
        mode: RecordMode = "block",
        **options: Unpack[ParserOptions],
    ) -> None:
        check_mode(mode)
        self._mode: RecordMode = mode
        options.setdefault("raise_errors", True)
        self._parser = DocumentParser(llm or QwenVL(), **options)

    @override
    def lazy_load_data(
        self,
        file: File | Iterable[File],
        extra_info: Mapping[str, Any] | None = None,
        fs: Any = None,
    ) -> Iterator[Document]:
        """Read one page after the other, each when it is wanted.

        `load_data` takes the same and gives a list, so that `SimpleDirectoryReader` can use it.

        Args:
            file: Images, PDF and TIFF files, one or several: paths, or URLs of images.
            extra_info: Put into the metadata of each document; the reader's own keys take
                precedence.
            fs: The `fsspec` file system that they are in, if it is not this machine's.

        Raises:
            MediaError: A file cannot be read, or is neither image nor PDF.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        for page in self._parser.parse_pages(_open_each(file, fs)):
            yield from self._to_documents(page, extra_info)

    @override
    async def alazy_load_data(
        self,
        file: File | Iterable[File],
        extra_info: Mapping[str, Any] | None = None,
        fs: Any = None,
    ) -> Iterable[Document]:
        """Read several pages at the same time; see `lazy_load_data`.

        All pages are there when it returns: LlamaIndex goes over them without waiting.
        """
        return await self.aload_data(file, extra_info, fs)

    @override
    async def aload_data(
        self,
        file: File | Iterable[File],
        extra_info: Mapping[str, Any] | None = None,
        fs: Any = None,
    ) -> list[Document]:
        """Read several pages at the same time; see `lazy_load_data`."""
        pages: Any = self._parser.aparse_pages(_open_each(file, fs))
        async with Owned(pages) as owned:
            return [
                document
                async for page in owned
                for document in self._to_documents(page, extra_info)
            ]

    def _to_documents(
        self, page: ParsedPage, extra_info: Mapping[str, Any] | None
    ) -> Iterator[Document]:
        for record in to_records(page, self._mode):
            yield Document(
                text=record.text,
                metadata={**(extra_info or {}), **record.metadata},
                excluded_embed_metadata_keys=list(PROGRAM_KEYS),
                excluded_llm_metadata_keys=list(PROGRAM_KEYS),
            )


class _NamedBytes(BytesIO):
    """A file of another file system, which says where it is from."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def _open_each(file: File | Iterable[File], fs: Any) -> Iterator[object]:
    files = [file] if isinstance(file, str | PurePath) else file
    for each in files:
        if fs is None:
            yield each
            continue
        with fs.open(str(each), "rb") as opened:
            data = opened.read()
        yield _NamedBytes(data, str(each))


def _to_document(page: OcrPage, extra_info: Mapping[str, Any] | None) -> Document:
    return Document(
        text=page.result.text,
        metadata={**(extra_info or {}), **page.to_metadata()},
        excluded_embed_metadata_keys=list(_FOR_PROGRAMS),
        excluded_llm_metadata_keys=list(_FOR_PROGRAMS),
    )


class QwenVLMediaReader(BaseReader):
    """Reads images, PDF pages and videos into documents that refer to them, to be embedded.

    Nothing is sent, and no image is decoded. The text is what a PDF page holds, and empty
    otherwise. The metadata has `source`, `digest` (of the file's bytes, so that docstores notice a
    change), `image_path` or `video_path`, and `page` (from 1 on) and `total_pages` of PDF and TIFF
    files. With `frames_folder`, a video becomes one document for each frame, with the frame in
    `image_path`, the video in `source`, and `seconds`. Models get none of it as text. Each document
    has the same id each time it is read.

    Args:
        frames_folder: Folder to save frames of videos in, as JPEG; videos stay whole if `None`. A
            frame that is there is not taken again.
        frames: Which frames: one every 10 seconds, at most 60, if `None`.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> (document,) = QwenVLMediaReader().load_data(CHELSEA)
        >>> sorted(document.metadata)
        ['digest', 'image_path', 'source']
    """

    def __init__(
        self, *, frames_folder: File | None = None, frames: FrameOptions | None = None
    ) -> None:
        self._frames_folder = None if frames_folder is None else Path(frames_folder)
        self._frames = frames

    @override
    def lazy_load_data(
        self, file: File | Iterable[File], extra_info: Mapping[str, Any] | None = None
    ) -> Iterator[Document]:
        """Read one file after the other, each when it is wanted.

        Args:
            file: Files and folders, one or several. Of a folder, all images, PDF files and videos
                below it are read, except hidden ones; other files are left out.
            extra_info: Added to the metadata of each document.

        Raises:
            MediaError: A file does not exist, cannot be read, or is neither image, PDF nor video.
            MissingExtraError: There is a PDF, and pypdfium2 is not installed; or PyAV, for frames.
            ConfigurationError: `frames_folder` is inside of a folder that is read, and not hidden.
        """
        files = [file] if isinstance(file, str | PurePath) else file
        sources = [Path(each) for each in files]
        check_frames_folder(self._frames_folder, sources)
        references = find_references(
            sources, frames=self._frames, frames_folder=self._frames_folder
        )
        for text, found in references:
            place = found.get("page", found.get("seconds", ""))
            yield Document(
                id_=str(uuid5(NAMESPACE_URL, f"{found['source']}#{place}")),
                text=text,
                metadata={**(extra_info or {}), **found},
                excluded_embed_metadata_keys=list(found),
                excluded_llm_metadata_keys=list(found),
            )
