"""The lake in an S3 bucket, through boto3 and plain S3 calls only, so that any S3 store can take its place.

What belongs here: calls, paging, bounded waiting. What does not: naming a store's failures
(:mod:`lakehouse.storage.s3_errors`), and DuckDB's own S3 access (:mod:`lakehouse.duckdb.connect`).
"""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlsplit

from lakehouse.settings import Settings
from lakehouse.storage.lake import ChangedError, Lake, LakeObject, checked_key
from lakehouse.storage.s3_errors import translated

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 5
READ_SECONDS = 60
ATTEMPTS = 3
KEPT_AT_ONCE = 8
PART_BYTES = 64 << 20
"""Files above this size are uploaded, and copied, in parts of this size."""


class S3Lake(Lake):
    """A bucket, or a prefix in one; keys are object keys below the prefix."""

    atomic_arrival = True

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.lake_root)
        self.root = settings.lake_root
        self._bucket = parts.netloc
        self._prefix = f"{parts.path.strip('/')}/" if parts.path.strip("/") else ""
        self._where = f"{settings.lake_root} at {settings.s3_endpoint or 'AWS'}"
        self._settings = settings
        self._made: S3Client | None = None

    @property
    def _client(self) -> S3Client:
        if self._made is None:
            import boto3
            from botocore.config import Config

            key = self._settings.s3_access_key.get_secret_value()
            self._made = boto3.client(
                "s3",
                endpoint_url=self._settings.s3_endpoint or None,
                region_name=self._settings.s3_region,
                aws_access_key_id=key or None,
                aws_secret_access_key=self._settings.s3_secret_key.get_secret_value() or None,
                config=Config(
                    s3={"addressing_style": "path" if self._settings.s3_endpoint else "auto"},
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                    # Newer checksum headers are refused by stores that speak an older S3.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        return self._made

    def check(self) -> None:
        """See :meth:`Lake.check`."""
        with translated(self._where):
            # A listing, not HeadBucket: only its answer says what exactly is wrong.
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def list(self, folder: str) -> Iterator[LakeObject]:
        """See :meth:`Lake.list`."""
        found: list[LakeObject] = []
        base = self._key(folder).rstrip("/") + "/"
        with translated(self._where):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=base, Delimiter="/"
            )
            for page in pages:
                for item in page.get("Contents", []):
                    if item["Key"] != base:  # the marker that some tools write for an empty folder
                        found.append(self._object(item["Key"], item["Size"], item["LastModified"], item["ETag"]))
                for group in page.get("CommonPrefixes", []):
                    found.append(self._directory(group["Prefix"]))
        yield from sorted((item for item in found if not item.name.startswith(".")), key=lambda item: item.key)

    def walk(self, folder: str) -> Iterator[LakeObject]:
        """See :meth:`Lake.walk`."""
        base = self._key(folder).rstrip("/") + "/"
        found: list[LakeObject] = []
        with translated(self._where):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=base):
                for item in page.get("Contents", []):
                    below = PurePosixPath(item["Key"][len(base) :]).parts
                    if item["Key"].endswith("/") or any(part.startswith(".") for part in below):
                        continue
                    found.append(self._object(item["Key"], item["Size"], item["LastModified"], item["ETag"]))
        yield from sorted(found, key=lambda item: item.key)

    def stat(self, key: str) -> LakeObject:
        """See :meth:`Lake.stat`."""
        with translated(self._where, key):
            head = self._client.head_object(Bucket=self._bucket, Key=self._key(key))
        return self._object(self._key(key), head["ContentLength"], head["LastModified"], head["ETag"])

    def open(self, key: str) -> BinaryIO:
        """See :meth:`Lake.open`."""
        with translated(self._where, key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
        return cast("BinaryIO", io.BufferedReader(_Body(answer["Body"], self._where, key), 1 << 20))

    def write(self, key: str, data: bytes | Path) -> None:
        """See :meth:`Lake.write`: one PUT, or a multipart upload that appears when it is complete."""
        with translated(self._where, key):
            if isinstance(data, bytes):
                self._client.put_object(Bucket=self._bucket, Key=self._key(key), Body=data)
                return
            from boto3.s3.transfer import TransferConfig

            parts = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
            self._client.upload_file(str(data), self._bucket, self._key(key), Config=parts)

    def copy(self, source: str, target: str) -> None:
        """See :meth:`Lake.copy`; done by the store, in parts when large."""
        self._copy(source, target, None)

    def keep(self, pairs: Sequence[tuple[str, str]]) -> None:
        """See :meth:`Lake.keep`: copied by the store, a few at a time."""
        from concurrent.futures import ThreadPoolExecutor

        def one(pair: tuple[str, str]) -> None:
            with contextlib.suppress(FileNotFoundError):
                self.copy(*pair)

        if len(pairs) == 1:
            one(pairs[0])
        elif pairs:
            _ = self._client  # made once, before the threads
            with ThreadPoolExecutor(KEPT_AT_ONCE) as pool:
                list(pool.map(one, pairs))

    def move(self, source: str, target: str, *, expected: LakeObject | None = None) -> None:
        """See :meth:`Lake.move`: copy, then delete.

        S3 has no rename. The copy is bound to the expected ETag, and so is the delete: a store that honours
        ``If-Match`` on DELETE never loses a newer object; for the others the object is compared right before it.
        """
        before = expected or self.stat(source)
        try:
            there = self.stat(target)
        except FileNotFoundError:
            self._copy(source, target, before)
        else:
            # The same content: a move that was cut off between copy and delete. It is finished.
            if (there.version, there.size) != (before.version, before.size):
                raise FileExistsError(errno.EEXIST, "the target exists", target)
        if self.stat(source).version != before.version:
            raise self._changed(source)
        from botocore.exceptions import ClientError

        with translated(self._where, source):
            try:
                self._client.delete_object(Bucket=self._bucket, Key=self._key(source), IfMatch=before.version)
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status == 412:
                    raise self._changed(source) from error
                if status != 501:
                    raise
                self._client.delete_object(Bucket=self._bucket, Key=self._key(source))

    def delete(self, key: str) -> None:
        """See :meth:`Lake.delete`."""
        with translated(self._where, key):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def fingerprint(self, item: LakeObject) -> str:
        """See :meth:`Lake.fingerprint`."""
        return f"etag:{item.version.strip(chr(34))}-{item.size}"

    def _copy(self, source: str, target: str, expected: LakeObject | None) -> None:
        from boto3.s3.transfer import TransferConfig
        from botocore.exceptions import ClientError

        condition = {"CopySourceIfMatch": expected.version} if expected else {}
        with translated(self._where, source):
            try:
                self._client.copy(
                    {"Bucket": self._bucket, "Key": self._key(source)},
                    self._bucket,
                    self._key(target),
                    ExtraArgs=condition,
                    Config=TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES),
                )
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412:
                    raise self._changed(source) from error
                raise

    def _changed(self, key: str) -> ChangedError:
        return ChangedError(
            f"{key} was replaced while it was looked at.", remedy="Nothing to do: the next run looks again."
        )

    def _key(self, key: str) -> str:
        return self._prefix + checked_key(key)

    def _object(self, key: str, size: int, modified: datetime, etag: str) -> LakeObject:
        return LakeObject(key[len(self._prefix) :], size, modified.astimezone(UTC), etag)

    def _directory(self, prefix: str) -> LakeObject:
        from datetime import datetime

        return LakeObject(prefix[len(self._prefix) :].rstrip("/"), 0, datetime.fromtimestamp(0, UTC), "", "directory")


class _Body(io.RawIOBase):
    """An answer's body as a file whose failures say what they mean."""

    def __init__(self, body: io.IOBase, where: str, key: str) -> None:
        self._body, self._where, self._key = body, where, key

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # the base class types it as a WriteableBuffer protocol
        with translated(self._where, self._key):
            data = cast("BinaryIO", self._body).read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._body.close()
        super().close()
