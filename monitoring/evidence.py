"""Which files go with a report? They are kept under names of ours, outside what the web serves, and judged by content.

A file is only ever handed out as an attachment, to who may see its report: what is in it is somebody else's.
"""

import hashlib
import uuid
from collections.abc import Iterable
from typing import BinaryIO

import filetype
from django.core.exceptions import ValidationError
from django.core.files import File
from django.http import Http404

from coalition import disk
from coalition.access import acting_as, actor_of, demand
from coalition.editing import lock
from coalition.imports.staging import clean_name
from monitoring.models import Evidence, Report

LARGEST_MB = 50
LARGEST = LARGEST_MB * 1_000_000  # bytes
MOST_FILES = 50  # of one report
HEAD = 8192  # bytes that tell what a file is
TEXT = "text/plain"
# Media types by the first bytes. Nothing that a browser would run: no HTML, no SVG, no script.
ALLOWED = frozenset(
    {
        "application/pdf",
        "application/zip",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "image/heic",
        "image/tiff",
        "audio/mpeg",
        "audio/mp4",
        "audio/x-wav",
        "audio/ogg",
        "audio/aac",
        "audio/x-flac",
        "audio/amr",
        "video/mp4",
        "video/quicktime",
        "video/webm",
        "video/x-matroska",
        "video/x-msvideo",
        "video/3gpp",
        "video/mpeg",
        TEXT,
    }
)
KINDS = "Photos, film, sound, PDF, plain text and ZIP are kept."
MARKUP = (b"<!doctype", b"<html", b"<svg", b"<?xml", b"<script", b"<!--", b"<body", b"<head", b"<?php", b"#!")


def attach(report_id: int, file: File, *, by) -> Evidence:
    """Keep a file with a report and return it; the same content again returns what is there.

    ``file`` has a name, a size and chunks, as Django's uploads have. Raise Http404, PermissionDenied, ``disk.NoRoom``, and
    ValidationError for a file that is empty, too large, or of a type that is not kept, whatever its name says.
    """
    with acting_as(by):
        report = lock(Report.objects.visible_to(by), report_id)
        demand(by, "file_report")
        if not 0 < (file.size or 0) <= LARGEST:
            raise ValidationError({"file": f"A file has from 1 byte to {LARGEST_MB} MB."})
        content_type = type_of(file)
        digest = _digest(file)
        already = report.evidence.filter(sha256=digest).first()
        if already:
            return already
        if report.evidence.count() >= MOST_FILES:
            raise ValidationError({"file": f"A report has at most {MOST_FILES} files. Pack some into a ZIP."})
        kept = Evidence(
            report=report,
            file_name=clean_name(file.name or "").strip(". ") or "file",
            content_type=content_type,
            size=file.size,
            sha256=digest,
            added_by_id=actor_of(by).user_id,
        )
        _keep(kept, file)
        return kept


def attach_all(report_id: int, files: Iterable[File], *, by) -> list[Evidence]:
    """Keep all of the files or none; return them. Raises what ``attach`` raises."""
    kept: list[Evidence] = []
    before = set(Evidence.objects.filter(report=report_id).values_list("pk", flat=True))
    try:
        with acting_as(by):
            for file in files:
                kept.append(attach(report_id, file, by=by))
    except BaseException:
        for each in kept:
            if each.pk not in before:  # the row is taken back with the transaction, the file is not
                each.file.delete(save=False)
        raise
    return kept


def open_seen(report_id: int, evidence_id: int, *, by) -> tuple[Evidence, BinaryIO]:
    """Return a file of a report that the person may see, opened. Raise Http404, also when the disk has lost it."""
    kept = Evidence.objects.visible_to(by).filter(report_id=report_id, pk=evidence_id).first()
    if kept is None:
        raise Http404("There is no such file.")
    try:
        return kept, kept.file.open("rb")
    except OSError as gone:
        raise Http404("The file is not there any more.") from gone


def type_of(file: File) -> str:
    """Return the media type that the content says. Raise ValidationError for one that is not kept."""
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    found = filetype.guess(head)
    content_type = found.mime if found else TEXT if _is_text(head) else ""
    if content_type not in ALLOWED:
        raise ValidationError({"file": f"Files of this type are not kept, whatever their name says. {KINDS}"})
    return content_type


def _is_text(head: bytes) -> bool:
    """Plain text in UTF-8, and no markup that a browser might run."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(head) < HEAD or error.start < HEAD - 4:  # the end may cut a letter in two
            return False
        text = head[: error.start].decode("utf-8-sig")
    start = text.lstrip().encode().lower()
    readable = all(char.isprintable() or char in "\t\r\n\f" for char in text)
    return readable and not start.startswith(MARKUP)


def _digest(file: File) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def _keep(kept: Evidence, file: File) -> None:
    """Write file and row, or neither."""
    disk.keep(kept.file, uuid.uuid4().hex, File(file))  # their name means nothing to the disk
    try:
        kept.save()
    except BaseException:
        kept.file.delete(save=False)
        raise
