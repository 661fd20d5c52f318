"""Asks a server of gateways by gRPC what the lines on standard input say, and writes each answer as a line.

ask.py ADDRESS, or over TLS ask.py ADDRESS AUTHORITY CERTIFICATE KEY; empty files for a client without a certificate.
"""

import json
import sys

import grpc
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from envoy.service.ext_proc.v3 import external_processor_pb2, external_processor_pb2_grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

TIMEOUT_S = 60


def plain(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


class Asking:
    def __init__(self, address, identity):
        if identity:
            authority, chain, key = (open(path, "rb").read() for path in identity)
            credentials = grpc.ssl_channel_credentials(authority, key or None, chain or None)
            self.channel = grpc.secure_channel(address, credentials)
        else:
            self.channel = grpc.insecure_channel(address)
        self.described = ProtoReflectionDescriptorDatabase(self.channel)

    def ext_authz(self, asked):
        """As Envoy asks: headers of one name joined, or each by itself."""
        request = external_auth_pb2.CheckRequest()
        http = request.attributes.request.http
        http.method, http.path, http.body = "POST", "/v1/chat/completions", asked.get("body", "")
        for name, value in asked.get("headers", {}).items():
            http.headers[name] = value
        for name, value in asked.get("apart", []):
            http.header_map.headers.add(key=name, raw_value=value.encode())
        metadata = [("x-weir-token", asked["token"])] if "token" in asked else []
        stub = external_auth_pb2_grpc.AuthorizationStub(self.channel)
        answer = stub.Check(request, timeout=TIMEOUT_S, metadata=metadata)
        told = {"code": answer.status.code, "metadata": plain(answer.dynamic_metadata)}
        if answer.WhichOneof("http_response") == "denied_response":
            denied = answer.denied_response
            told["status"] = denied.status.code
            told["headers"] = {header.header.key: header.header.value for header in denied.headers}
            told["body"] = json.loads(denied.body)
        return told

    def rate_limit(self, asked):
        """As Envoy's filter for rate limits asks: each descriptor by itself, its entries in their order."""
        request = rls_pb2.RateLimitRequest(domain=asked.get("domain", "weir"), hits_addend=asked.get("hits", 0))
        given = asked.get("descriptors_hits", [None] * len(asked["descriptors"]))
        for entries, hits in zip(asked["descriptors"], given):
            descriptor = request.descriptors.add()
            if hits is not None:
                descriptor.hits_addend.value = abs(hits)
                if hits < 0:
                    # is_negative_hits, number 4, which the protos of xds-protos do not have yet.
                    descriptor.MergeFromString(b"\x20\x01")
            for key, value in entries:
                descriptor.entries.add(key=key, value=value)
        stub = rls_pb2_grpc.RateLimitServiceStub(self.channel)
        answer = stub.ShouldRateLimit(request, timeout=TIMEOUT_S)
        code = rls_pb2.RateLimitResponse.Code.Name
        return {
            "code": code(answer.overall_code),
            "codes": [code(status.code) for status in answer.statuses],
            "limits": [plain(status.current_limit) for status in answer.statuses],
            "resets_s": [status.duration_until_reset.ToSeconds() for status in answer.statuses],
            "headers": {header.key: header.value for header in answer.response_headers_to_add},
            "to_the_model": len(answer.request_headers_to_add),
            "body": json.loads(answer.raw_body or "null"),
            "metadata": plain(answer.dynamic_metadata),
        }

    def ext_proc(self, asked):
        """As Envoy's filter for external processing asks: a stream for each request, which begins with its headers."""
        first = external_processor_pb2.ProcessingRequest(observability_mode=asked.get("observes", False))
        if "body" in asked:
            first.request_body.body = asked["body"].encode()
        else:
            first.request_headers.end_of_stream = False
            for name, value in asked["headers"]:
                first.request_headers.headers.headers.add(key=name, raw_value=value.encode())
        stub = external_processor_pb2_grpc.ExternalProcessorStub(self.channel)
        requests = [] if asked.get("says_nothing") else [first]
        told = []
        for answer in stub.Process(iter(requests), timeout=TIMEOUT_S):
            immediate = answer.immediate_response
            told.append(
                {
                    "kind": answer.WhichOneof("response"),
                    "changes": plain(answer.request_headers),
                    "status": immediate.status.code,
                    "grpc_status": immediate.grpc_status.status,
                    "details": immediate.details,
                    "headers": {
                        option.header.key: option.header.value for option in immediate.headers.set_headers
                    },
                    "body": json.loads(immediate.body or "null"),
                    "metadata": plain(answer.dynamic_metadata),
                }
            )
        return told

    def tcp(self, _):
        """As Envoy's filter for TCP asks."""
        request = external_auth_pb2.CheckRequest()
        request.attributes.source.address.socket_address.address = "192.0.2.1"
        return plain(external_auth_pb2_grpc.AuthorizationStub(self.channel).Check(request, timeout=TIMEOUT_S))

    def check(self, asked):
        """Weir's own service, known by nothing but reflection."""
        pool = DescriptorPool(self.described)
        method = pool.FindServiceByName("weir.v1.Decisions").FindMethodByName("Check")
        request = json_format.ParseDict(asked, GetMessageClass(method.input_type)())
        call = self.channel.unary_unary(
            "/weir.v1.Decisions/Check",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return plain(call(request, timeout=TIMEOUT_S))

    def health(self, asked):
        request = health_pb2.HealthCheckRequest(service=asked["service"])
        answer = health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=TIMEOUT_S)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def services(self, _):
        return sorted(self.described.get_services())

    def imports(self, _):
        """What the files of Envoy's services import, as far as it is to be had: all of it."""
        missing, seen = [], set()
        ahead = [
            "envoy/service/auth/v3/external_auth.proto",
            "envoy/service/ext_proc/v3/external_processor.proto",
            "envoy/service/ratelimit/v3/rls.proto",
        ]
        while ahead:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                try:
                    ahead.extend(self.described.FindFileByName(name).dependency)
                except KeyError:
                    missing.append(name)
        return {"missing": missing, "files": len(seen)}

    def unknown(self, asked):
        call = self.channel.unary_unary(asked["method"])
        return call(b"", timeout=TIMEOUT_S).hex()


def main():
    asking = Asking(sys.argv[1], sys.argv[2:])
    for line in sys.stdin:
        call, asked = json.loads(line)
        try:
            told = getattr(asking, call)(asked)
        except grpc.RpcError as error:
            told = {"error": error.code().name, "reason": error.details()}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
