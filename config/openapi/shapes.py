"""JSON Schemas of what goes over the wire, by component name."""

from typing import Any

from tenants.errors import STATUS_OF

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
UUID: Schema = {"type": "string", "format": "uuid"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
MONEY: Schema = {"type": "string", "description": "A decimal, in dollars."}
ANYTHING: Schema = {"type": "object", "additionalProperties": True}


def record(*optional: str, **properties: Schema) -> Schema:
    """An object whose properties are all there, but for the `optional` ones."""
    return {"type": "object", "properties": properties, "required": [n for n in properties if n not in optional]}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_figures = {
    **dict.fromkeys(
        ("requests", "overage", "overageCents", "cached", "errors", "promptTokens", "completionTokens"), COUNT
    ),
    **dict.fromkeys(("cacheReadTokens", "cacheWriteTokens", "embeddingTokens"), COUNT),
    "cost": {**MONEY, "description": "Of the models, in dollars, as a decimal; told to the internal caller only."},
}
_document = {"documentId": TEXT, "status": {"type": "string", "enum": [
    "pending", "parsing", "chunking", "embedding", "storing", "completed", "failed"]}}  # fmt: skip

COMPONENTS: dict[str, Schema] = {
    "Error": record(
        error=record(code={"type": "string", "enum": sorted(STATUS_OF)}, message=TEXT, details=ANYTHING),
        message={**TEXT, "description": "The same text again, for widgets that read it here."},
        traceId=UUID,
    ),
    "Question": {
        **record(
            "sessionId", "metadata", "clientId",
            message={"type": "string", "minLength": 1, "maxLength": 2000},
            sessionId=nullable({**UUID, "description": "Left out: a new session begins."}),
            metadata={"type": ["object", "null"], "properties": {
                "userAgent": {"type": "string", "maxLength": 1000},
                "pageUrl": {"type": "string", "maxLength": 2000},
                "customFields": ANYTHING,
            }},
            clientId={**nullable(TEXT), "description": "Counts for the internal caller only."},
        ),
    },
    "Source": record(
        "page", "start", "end",
        documentId=TEXT, title=TEXT, excerpt=TEXT, score={"type": "number", "minimum": 0, "maximum": 1},
        chunkIndex=COUNT, page=nullable(COUNT), start=COUNT, end=COUNT,
    ),
    "Usage": record(promptTokens=COUNT, completionTokens=COUNT, totalTokens=COUNT, cached=FLAG),
    "Answer": record(
        "person",
        response=TEXT, sessionId=UUID, traceId=UUID, sources=many(ref("Source")), usage=ref("Usage"), sessionToken=TEXT,
        person={**ref("Person"), "description": "Who has taken the conversation over. The response only says so; no "
                "model was asked, and the request is not billed."},
    ),
    "WidgetConfig": record(
        widget={**record(primaryColor=TEXT, position={"type": "string", "enum": ["bottom-right", "bottom-left"]},
                         welcomeMessage=TEXT, widgetName=TEXT), "additionalProperties": True},
        # and `people`: {"staffed": true}, where the client's people answer in the chat
    ),
    "Messages": record(messages=many(record(
        "sources", "rating", "person",
        role={"type": "string", "enum": ["visitor", "assistant"]}, message=TEXT, traceId=UUID, createdAt=MOMENT,
        sources=many(ref("Source")), rating={"type": ["string", "null"], "enum": ["up", "down", None]},
        person={**ref("Person"), "description": "Who wrote it, where that was a person."},
    ))),
    "Person": record(name=TEXT),
    "People": record(person={"anyOf": [ref("Person"), {"type": "null"}]}, waiting=FLAG, staffed=FLAG),
    "Address": record(email={"type": "string", "format": "email", "maxLength": 254}),
    "SessionExport": record(session=ANYTHING, messages=many(ANYTHING), contacts=many(ANYTHING)),
    "SessionReceipt": record(receiptId=UUID, erased=MOMENT, before=ANYTHING, after=ANYTHING),
    "ClientExport": record(exported=MOMENT, client=ANYTHING, rows=ANYTHING, files=many(record(
        documentId=TEXT, originalName=TEXT, sha256=TEXT, data={"type": "string", "contentEncoding": "base64"}))),
    "ClientReceipt": record(clientId=UUID, requested=MOMENT, finished=nullable(MOMENT), before=ANYTHING,
                            after=ANYTHING, kept=ANYTHING),
    "Rating": record("comment", rating={"type": "string", "enum": ["up", "down"]},
                     comment={"type": "string", "maxLength": 2000}),
    "Upload": record(
        "clientId", "fileData", "fileType", "originalName", "metadata",
        documentId={"type": "string", "minLength": 1, "maxLength": 255}, clientId=TEXT,
        fileData={"type": "string", "contentEncoding": "base64"},
        fileType={"type": "string", "enum": ["pdf", "docx", "txt", "csv"]}, originalName=TEXT, metadata=ANYTHING,
    ),
    "UploadForm": record(
        "clientId", "fileType", "originalName", "metadata",
        documentId={"type": "string", "minLength": 1, "maxLength": 255}, clientId=TEXT,
        file={"type": "string", "format": "binary"}, fileType=TEXT, originalName=TEXT,
        metadata={**TEXT, "description": "A JSON object."},
    ),
    "Accepted": record(success=FLAG, **_document, chunksCreated=COUNT, qdrantPointIds=many(UUID),
                       processingTimeMs=COUNT),
    "DocumentStatus": record(
        **_document, progress={"type": "integer", "minimum": 0, "maximum": 100}, currentStep=TEXT, chunksTotal=COUNT,
        chunksProcessed=COUNT, qdrantPointIds=many(UUID), errorMessage=nullable(TEXT),
    ),
    "KeyToCheck": record(apiKey={"type": "string"}),
    "KeyChecked": record(
        "clientId", "tier", "model", "allowedDomains", "errorMessage",
        valid=FLAG, clientId=UUID, tier={"type": "string", "enum": ["free", "paid"]}, model=TEXT,
        allowedDomains=many(TEXT), errorMessage=TEXT,
    ),
    "Health": record(
        status={"type": "string", "enum": ["healthy", "degraded", "unhealthy"]}, timestamp=MOMENT, version=TEXT,
        queueSize=COUNT, queueCapacity=COUNT,
        services=record(database=FLAG, qdrant=FLAG, redis=FLAG, anthropic=FLAG, openai=FLAG),
    ),
    "Live": record(status={"type": "string", "const": "live"}),
    "UsageSeries": record(
        clientId=UUID, **{"from": MOMENT}, to=MOMENT, granularity={"type": "string", "enum": ["hour", "day", "month"]},
        currency=TEXT, items=many({**record("cost", start=MOMENT, **_figures), "additionalProperties": True}),
        totals={**record("cost", **_figures), "additionalProperties": True},
    ),
    "CurrentUsage": record(
        "budget", clientId=UUID, tier=TEXT,
        hour=record(start=MOMENT, limit=COUNT, used=COUNT, remaining=COUNT, overage=COUNT, hardCap=FLAG,
                    resetAt=MOMENT),
        month={**record("cost", start=MOMENT, **_figures), "additionalProperties": True},
        estimatedBill=record(currency=TEXT, subscriptionCents=COUNT, overageCents=COUNT, totalCents=COUNT),
        budget={"type": ["object", "null"], "additionalProperties": True, "description":
                "What the models may cost this month, and did; told to the internal caller only."},
    ),
    "Invoices": record(clientId=UUID, invoices=many(record(
        number=TEXT, kind=TEXT, month={**TEXT, "pattern": r"^\d{4}-\d{2}$"}, credits=nullable(TEXT), currency=TEXT,
        totalCents={"type": "integer"}, reason=TEXT, issued=MOMENT,
        lines=many(record(kind=TEXT, description=TEXT, hour=nullable(MOMENT), requests=COUNT, quantity=COUNT,
                          amountCents={"type": "integer"})),
    ))),
    "LimitsChange": {**record(
        "hardCap", "alertThreshold", "alertEmail",
        hardCap=FLAG, alertThreshold={"type": "integer", "minimum": 1, "maximum": 100},
        alertEmail={"type": "string", "maxLength": 254},
    ), "additionalProperties": False},
    "Limits": record(clientId=UUID, hourlyLimit=COUNT, hardCap=FLAG, overageCents=COUNT, alertThreshold=COUNT,
                     alertEmail=TEXT),
    "Received": record(received=FLAG),
    "WidgetVersions": record(version=TEXT, latest=TEXT, versions=ANYTHING),
    "Anything": ANYTHING,
}  # fmt: skip
