"""Sends a plan's requests as an application does that OpenTelemetry's SDK instruments: as spans in batches by the OTLP
exporter, with what else such an application traces around them; or as log records, a line of a log in each."""

import json
import sys

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def attributes(asked):
    """What the GenAI conventions call what was asked."""
    part = {"type": "text", "content": asked["prompt"]}
    system = {"type": "text", "content": asked["system_prompt"]}
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": asked["model"],
        "gen_ai.request.max_tokens": asked["max_tokens"],
        "gen_ai.request.stop_sequences": ["a", "b"],
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [part]}]),
        "gen_ai.system_instructions": json.dumps([system]),
        "enduser.id": asked["account"],
        "client.address": asked["ip"],
        "user_agent.original": asked["user_agent"],
        "http.response.status_code": asked["status"],
        "url.path": asked["endpoint"],
        "server.port": 443,
    }


def send_spans(endpoint, headers, plan):
    provider = TracerProvider()
    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", headers=headers, compression=Compression.Gzip)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=100))
    tracer = trace.get_tracer("gateway", tracer_provider=provider)
    for number, asked in enumerate(plan):
        began = asked["time"] * 1_000_000
        with tracer.start_as_current_span("POST /v1/chat/completions"):
            span = tracer.start_span("chat", attributes=attributes(asked), start_time=began)
            span.end(began + asked["latency_ms"] * 1_000_000)
        # The processor drops what it has no room for.
        if number % 500 == 499:
            assert provider.force_flush()
    assert provider.force_flush()
    provider.shutdown()


def send_logs(endpoint, headers, plan):
    provider = LoggerProvider()
    exporter = OTLPLogExporter(f"{endpoint}/v1/logs", headers=headers)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_export_batch_size=100))
    logger = provider.get_logger("shipper")
    for number, asked in enumerate(plan):
        logger.emit(LogRecord(timestamp=1, body=json.dumps(asked), severity_number=SeverityNumber.INFO))
        if number % 500 == 499:
            assert provider.force_flush()
    assert provider.force_flush()
    provider.shutdown()


if __name__ == "__main__":
    kind, address, token, path = sys.argv[1:]
    with open(path, encoding="utf-8") as lines:
        asked = [json.loads(line) for line in lines]
    send = {"spans": send_spans, "logs": send_logs}[kind]
    send(address, {"authorization": f"Bearer {token}"}, asked)
