"""Documents, their versions, and the chunks that vectors are rebuilt from."""

import uuid

from django.db import models

from tenants.scoping import ClientOwned

PROGRESS = {"parsing": (2, 0), "chunking": (8, 0), "embedding": (10, 80), "storing": (90, 9)}  # first, span
STEPS = {
    "pending": "Waiting",
    "parsing": "Reading the file",
    "chunking": "Cutting the text into passages",
    "embedding": "Understanding the passages",
    "storing": "Storing the passages",
    "completed": "Ready",
    "failed": "Failed",
}
POINTS = uuid.UUID("6f0f3f1e-6a0c-5d6f-9d5c-3a4b1f6f1c57")  # namespace of chunk ids


class Document(ClientOwned):
    """What a caller knows as one document. `live` is the version that answers, `latest` the newest upload."""

    external_id = models.CharField(
        max_length=255, help_text="The documentId its uploader chose; unique within the client."
    )
    title = models.CharField(max_length=255)
    metadata = models.JSONField(default=dict, blank=True)
    live = models.ForeignKey("DocumentVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    latest = models.ForeignKey("DocumentVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["client", "external_id"], name="document_id_unique_in_client")]
        ordering = ("-updated",)

    def __str__(self) -> str:
        return self.title


def stored_name(version: "DocumentVersion", filename: str) -> str:
    """Names in storage are ours: nothing of an uploader's file name reaches the file system."""
    return f"{version.client_id}/{uuid.uuid4().hex}"


class DocumentVersion(ClientOwned):
    """One upload of a document's content, and how far its ingestion has come."""

    class Status(models.TextChoices):
        PENDING = "pending"
        PARSING = "parsing"
        CHUNKING = "chunking"
        EMBEDDING = "embedding"
        STORING = "storing"
        COMPLETED = "completed"
        FAILED = "failed"

    FINAL = (Status.COMPLETED, Status.FAILED)
    UNFINISHED = (Status.PENDING, Status.PARSING, Status.CHUNKING, Status.EMBEDDING, Status.STORING)

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    file = models.FileField(upload_to=stored_name, max_length=200)
    file_type = models.CharField(max_length=4, choices=[(t, t.upper()) for t in ("pdf", "docx", "txt", "csv")])
    original_name = models.CharField(max_length=255)
    size = models.PositiveIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING, db_index=True)
    error_message = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease = models.UUIDField(null=True, blank=True, editable=False, help_text="The run that may write this row.")
    heartbeat = models.DateTimeField(null=True, blank=True, editable=False)
    worker = models.CharField(max_length=100, blank=True, editable=False, help_text="Who holds or held the lease.")
    claimed = models.DateTimeField(null=True, blank=True, editable=False, help_text="When the last attempt began.")
    not_before = models.DateTimeField(null=True, blank=True, editable=False, help_text="When to try again.")
    chunks_total = models.PositiveIntegerField(default=0)
    chunks_processed = models.PositiveIntegerField(default=0)
    text = models.TextField(blank=True, help_text="The parsed text; chunks and sources are spans of it.")
    pages = models.PositiveIntegerField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["document", "number"], name="version_number_unique")]
        ordering = ("-created",)

    def __str__(self) -> str:
        return f"{self.original_name} (version {self.number})"

    @property
    def step(self) -> str:
        """What is being done, for a person."""
        return STEPS[self.status]

    @property
    def progress(self) -> int:
        """Per cent: parsing and chunking are the first tenth, storing the last."""
        if self.status == self.Status.COMPLETED:
            return 100
        done = self.chunks_processed / self.chunks_total if self.chunks_total else 0
        first, span = PROGRESS.get(self.status, (0, 0))
        return first + int(span * done)


class Chunk(ClientOwned):
    """A passage: `version.text[start:end] == text`. Its id is the id of its point in the vector store."""

    id = models.UUIDField(primary_key=True)
    version = models.ForeignKey(DocumentVersion, on_delete=models.CASCADE, related_name="chunks")
    index = models.PositiveIntegerField()
    text = models.TextField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    tokens = models.PositiveIntegerField()
    page_from = models.PositiveIntegerField(null=True, blank=True)
    page_to = models.PositiveIntegerField(null=True, blank=True)
    heading_path = models.JSONField(default=list, blank=True)

    class Meta(ClientOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["version", "index"], name="chunk_index_unique")]
        ordering = ("version_id", "index")
        verbose_name = "passage"

    def __str__(self) -> str:
        return f"chunk {self.index}"


class Callback(ClientOwned):
    """A status body for Express that is still to be delivered, or could not be (knowledge/callbacks.py)."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="+")
    status = models.CharField(max_length=10, choices=DocumentVersion.Status.choices)
    body = models.TextField(help_text="The JSON that is sent, byte for byte.")
    created = models.DateTimeField(auto_now_add=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt = models.DateTimeField(null=True, blank=True, db_index=True, help_text="Empty: given up.")
    last_error = models.CharField(max_length=200, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.status} ({self.attempts} attempts)"


class Remains(ClientOwned):
    """Points and a file outside the database whose rows are gone; they are erased twice (pipeline/remains.py)."""

    version_pk = models.BigIntegerField()
    file_name = models.CharField(max_length=200)
    due = models.DateTimeField(db_index=True)

    class Meta(ClientOwned.Meta):
        verbose_name_plural = "remains"

    def __str__(self) -> str:
        return self.file_name


def chunk_id(client_id: uuid.UUID, version_id: int, index: int) -> uuid.UUID:
    """Deterministic, so that a repeated ingest overwrites its own points and no one else's."""
    return uuid.uuid5(POINTS, f"{client_id}/{version_id}/{index}")
