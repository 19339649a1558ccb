"""Document loaders: of text by OCR models, of parsed blocks, and of references to media."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, Unpack
from uuid import NAMESPACE_OID, uuid5

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from typing_extensions import override

from langchain_qwen_vl.chat_models import ChatQwenVL, langchain_errors
from qwen_vl.documents.options import ParserOptions
from qwen_vl.documents.parser import DocumentParser
from qwen_vl.documents.records import RecordMode, check_mode, to_records
from qwen_vl.generators import Owned
from qwen_vl.ocr.reader import DEFAULT_CONCURRENCY, OcrPage, OcrReader
from qwen_vl.ocr.results import OcrResult, read_ocr_result
from qwen_vl.request.ocr import OcrTask
from qwen_vl.retrieval.files import FrameOptions
from qwen_vl.retrieval.references import check_frames_folder, find_references
from qwen_vl.specs.models import DEFAULT_OCR_MODEL

FilePath: TypeAlias = str | Path


def to_ocr_result(message: AIMessage, task: OcrTask) -> OcrResult:
    """Read from an answer what a task found.

    Args:
        message: The answer, or the sum of the chunks of a stream.
        task: The `ocr_task` that was asked for.

    Raises:
        AnswerFormatError: The answer does not have the form that the task promises.

    Example:
        >>> answer = AIMessage('{"total": "12.50"}')
        >>> to_ocr_result(answer, "key_information_extraction").values
        {'total': '12.50'}
    """
    return read_ocr_result(task, str(message.text), message.response_metadata.get("ocr_result"))


class QwenVLOCRLoader(BaseLoader):
    """Loads images and PDF files as documents, one for each page.

    `page_content` is what was read; `metadata` has `source`, `page` (from 1 on), `total_pages`
    and `task`, and `words`, `values` or `tables` where the task finds any.

    Args:
        file_path: Images and PDF files, one or several: paths, or URLs of images.
        model: Whom to ask, with all that is set there: key, region, protocol, `pdf_dpi`,
            `pdf_max_pages`, `media_roots`. `ChatQwenVL(model="qwen-vl-ocr")` where none is given.
        task: What to do with each page; plain text where nothing says otherwise.
        result_schema: What `"key_information_extraction"` should find.
        pages: Which pages of each PDF, from 1 on: `[1, 2, 7]` or `"1-2,7"`.
        dpi: Dots per inch at which they are rendered.
        max_concurrency: Maximum number of pages that `alazy_load` asks about at the same time.

    Raises:
        ConfigurationError: The task cannot be asked for.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     model = ChatQwenVL(
        ...         model="qwen-vl-ocr", base_url=sandbox.base_url, api_key="sk-sandbox"
        ...     )
        ...     (document,) = QwenVLOCRLoader(CHELSEA, model).load()
        >>> document.metadata["page"], document.metadata["task"]
        (1, 'text_recognition')
    """

    def __init__(
        self,
        file_path: FilePath | Iterable[FilePath],
        model: ChatQwenVL | None = None,
        *,
        task: OcrTask | None = None,
        result_schema: Mapping[str, Any] | None = None,
        pages: str | Sequence[int] | None = None,
        dpi: float | None = None,
        max_concurrency: int = DEFAULT_CONCURRENCY,
    ) -> None:
        self._sources = [file_path] if isinstance(file_path, str | Path) else list(file_path)
        self._reader = OcrReader(
            model or ChatQwenVL(model=DEFAULT_OCR_MODEL),
            task=task,
            result_schema=result_schema,
            pages=pages,
            dpi=dpi,
            max_concurrency=max_concurrency,
        )

    @override
    def lazy_load(self) -> Iterator[Document]:
        """Load one page after the other, each when it is wanted.

        Raises:
            MediaError: A file cannot be read, or is neither image nor PDF.
            AnswerFormatError: An answer does not have the form of the task.
            QwenVLServiceError: The endpoint answered with an error, or not at all.
        """
        with langchain_errors():
            for page in self._reader.read(self._sources):
                yield _to_document(page)

    @override
    async def alazy_load(self) -> AsyncIterator[Document]:
        """Load several pages at the same time, and give them in order; see `lazy_load`."""
        pages: Any = self._reader.aread(self._sources)
        async with langchain_errors(), Owned(pages) as owned:
            async for page in owned:
                yield _to_document(page)


def _to_document(page: OcrPage) -> Document:
    return Document(page_content=page.result.text, metadata=page.to_metadata())


class QwenVLDocumentLoader(BaseLoader):
    """Loads images and PDF files as documents, one for each block, with its box in pixels.

    `page_content` is the text of a block, LaTeX of a formula, or a table as HTML (LaTeX in the
    Markdown form). `metadata` has `source`, `page` (from 1 on), `total_pages`, `kind`, `box`
    (`[x1, y1, x2, y2]`), `block` (its index on the page), `page_width`, `page_height`, and what
    else is known of the block. With `mode="page"` a document is a page as Markdown, with its
    `blocks` in the metadata.

    Args:
        file_path: Images, PDF and TIFF files, one or several: paths, or URLs of images.
        model: The model to ask, with all that is set there: key, region, protocol, `pdf_dpi`,
            `pdf_max_pages`, `media_roots`; `ChatQwenVL()` if `None`.
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
        ...     model = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     document, *_ = QwenVLDocumentLoader(CHELSEA, model).load()
        >>> document.metadata["kind"], document.metadata["box"]
        ('paragraph', [0, 0, 451, 300])
    """

    def __init__(
        self,
        file_path: FilePath | Iterable[FilePath],
        model: ChatQwenVL | None = None,
        *,
        mode: RecordMode = "block",
        **options: Unpack[ParserOptions],
    ) -> None:
        check_mode(mode)
        self._sources = [file_path] if isinstance(file_path, str | Path) else list(file_path)
        self._mode: RecordMode = mode
        options.setdefault("raise_errors", True)
        self._parser = DocumentParser(model or ChatQwenVL(), **options)

    @override
    def lazy_load(self) -> Iterator[Document]:
        """Load one page after the other, each when it is wanted.

        Raises:
            MediaError: A file cannot be read, or is neither image nor PDF.
            QwenVLServiceError: The endpoint answered with an error, or not at all.
        """
        with langchain_errors():
            for page in self._parser.parse_pages(self._sources):
                for record in to_records(page, self._mode):
                    yield Document(page_content=record.text, metadata=record.metadata)

    @override
    async def alazy_load(self) -> AsyncIterator[Document]:
        """Load several pages at the same time, and give them in order; see `lazy_load`."""
        pages: Any = self._parser.aparse_pages(self._sources)
        async with langchain_errors(), Owned(pages) as owned:
            async for page in owned:
                for record in to_records(page, self._mode):
                    yield Document(page_content=record.text, metadata=record.metadata)


class QwenVLMediaLoader(BaseLoader):
    """Loads images, PDF pages and videos as documents that refer to them, for `add_media`.

    Nothing is sent. `page_content` is the text that a PDF page holds, and empty otherwise.
    `metadata` has `source`, `digest` (of the file's bytes, so that LangChain's `index()` notices a
    change), `image_path` or `video_path`, and `page` (from 1 on) and `total_pages` of PDF and TIFF
    files. With `frames_folder`, a video becomes one document for each frame, with the frame in
    `image_path`, the video in `source`, and `seconds`.

    Args:
        file_path: Files and folders, one or several. Of a folder, all images, PDF files and videos
            below it are loaded, except hidden ones; other files are left out.
        frames_folder: Folder to save frames of videos in, as JPEG; videos stay whole if `None`. A
            frame that is there is not taken again.
        frames: Which frames: one every 10 seconds, at most 60, if `None`.

    Raises:
        ConfigurationError: `frames_folder` is inside a folder that is loaded, and not hidden.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> (document,) = QwenVLMediaLoader(CHELSEA).load()
        >>> sorted(document.metadata)
        ['digest', 'image_path', 'source']
    """

    def __init__(
        self,
        file_path: FilePath | Iterable[FilePath],
        *,
        frames_folder: FilePath | None = None,
        frames: FrameOptions | None = None,
    ) -> None:
        self._sources = [file_path] if isinstance(file_path, str | Path) else list(file_path)
        self._frames_folder = frames_folder
        self._frames = frames
        check_frames_folder(frames_folder, self._sources)

    @override
    def lazy_load(self) -> Iterator[Document]:
        """Load one file after the other, each when it is wanted.

        Raises:
            MediaError: A file does not exist, cannot be read, or is neither image, PDF nor video.
            MissingExtraError: There is a PDF, and pypdfium2 is not installed; or PyAV, for frames.
        """
        found = find_references(
            self._sources, frames=self._frames, frames_folder=self._frames_folder
        )
        for text, metadata in found:
            yield Document(text, metadata=metadata)


def document_key(document: Document) -> str:
    """Return a key of a document's text and metadata, for `index(key_encoder=document_key)`.

    LangChain makes the document's id of it, and some stores, such as Qdrant, take only UUIDs.

    Args:
        document: Its metadata can be written as JSON.

    Example:
        >>> document_key(Document("A cat", metadata={"page": 1}))
        '358e58ab-6fb7-5c1f-a2b0-8f558d94860f'
    """
    held = json.dumps([document.page_content, document.metadata], sort_keys=True)
    return str(uuid5(NAMESPACE_OID, sha256(held.encode()).hexdigest()))
