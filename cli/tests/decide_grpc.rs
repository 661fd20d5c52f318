//! What gateways are told of accounts over gRPC, asked by gRPC's own Python with Envoy's own messages.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::authority::Authority;
use common::gateway::{answering, answering_two_at_once, answering_with_metrics, ask, header, stands_as};
use common::{Place, Running, eventually, metric, weir};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use weir_schemas::{ActionId, Standing, StandingEvidence, StandingStatus, VerdictId};

const PYTHON_VAR: &str = "WEIR_TEST_GRPC_PYTHON";

const SUSPENDED: &str = "sk-suspended";
const SLOW: &str = "sk-slow";

/// A client that is asked to ask.
struct Client {
    _process: Running,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// None where there is none, which with CI set is a failure.
    fn of(address: &str) -> Option<Self> {
        Self::with(address, &[])
    }

    /// The same over TLS, with these files: the authority, a certificate and its key.
    fn with(address: &str, files: &[&Path]) -> Option<Self> {
        let Some(python) = std::env::var_os(PYTHON_VAR) else {
            assert!(std::env::var_os("CI").is_none(), "{PYTHON_VAR} must say where gRPC's Python is");
            eprintln!("skipped: `cargo xtask test` installs gRPC's Python and says in {PYTHON_VAR} where");
            return None;
        };
        let mut command = Command::new(python);
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decide_grpc/ask.py"))
            .arg(address)
            .args(files);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running(command.spawn().unwrap());
        let (requests, answers) = (process.0.stdin.take().unwrap(), process.0.stdout.take().unwrap());
        Some(Self { _process: process, requests, answers: BufReader::new(answers) })
    }

    fn ask(&mut self, call: &str, asked: Value) -> Value {
        writeln!(self.requests, "{}", json!([call, asked])).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{call}: {error}: {line:?}"))
    }

    /// As Envoy asks for a request with these headers.
    fn envoy(&mut self, headers: Value) -> Value {
        self.ask("ext_authz", json!({ "headers": headers }))
    }

    /// As Envoy asks for a request with this key.
    fn key(&mut self, key: &str) -> Value {
        self.envoy(json!({ "authorization": format!("Bearer {key}") }))
    }

    fn is_well(&mut self, service: &str) -> Value {
        self.ask("health", json!({ "service": service }))
    }
}

/// How an account stands whose keys are suspended for an hour, and what that rests on.
fn suspended() -> Standing {
    let families = vec!["payment".to_owned(), "timing".to_owned()];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let since_ms = i64::try_from(now).unwrap();
    Standing {
        status: StandingStatus::Suspended,
        since_ms,
        until_ms: Some(since_ms + 3_600_000),
        action_id: ActionId([0xa1; 16]),
        verdict_id: VerdictId([0xb2; 16]),
        evidence: Some(StandingEvidence { score: 0.912, families }),
        ..Standing::default()
    }
}

/// A server that knows of one account that is suspended and one that is slowed down; and where it and its
/// metrics are.
fn server(place: &Place, arguments: &[&str]) -> (Running, String, String) {
    let keys = place.keys_of("collector");
    stands_as(place, &keys, SUSPENDED, &suspended());
    stands_as(place, &keys, SLOW, &Standing { status: StandingStatus::Limited, ..Standing::default() });
    std::fs::write(&place.feed, "").unwrap();
    let (run, address, metrics) = answering_two_at_once(place.run(), arguments);
    eventually("all is read", || header(&ask(&address, "/auth", "").1, "x-weir-stale-ms").is_some());
    (run, address, metrics)
}

fn answers(metrics: &str, kind: &str, transport: &str) -> u64 {
    metric(metrics, &format!("weir_gateway_answers_total{{kind=\"{kind}\",transport=\"{transport}\"}}"))
}

#[test]
fn envoy_is_told_who_may_pass_and_what_to_tell_its_client_otherwise() {
    let place = Place::new();
    let (run, address, metrics) = server(&place, &[]);
    let Some(mut client) = Client::of(&address) else { return };

    let told = client.key("sk-honest");
    assert_eq!((&told["code"], &told["status"]), (&json!(0), &Value::Null), "{told}");
    assert_eq!(
        (&told["metadata"]["status"], &told["metadata"]["passes"]),
        (&json!("ok"), &json!(true)),
        "{told}"
    );
    assert!(told["metadata"]["stale_ms"].as_f64().unwrap() < 60_000.0, "{told}");
    // A request without a key is nobody's: the gateway knows what to do.
    assert_eq!(client.envoy(json!({}))["code"], 0);

    let told = client.key(SUSPENDED);
    let (action, verdict) = (ActionId([0xa1; 16]).to_string(), VerdictId([0xb2; 16]).to_string());
    assert_eq!((&told["code"], &told["status"]), (&json!(7), &json!(403)), "{told}");
    let error =
        json!({ "type": "permission_error", "message": "This key is suspended.", "verdict_id": verdict });
    assert_eq!(told["body"], json!({ "error": error }));
    assert_eq!(told["headers"]["content-type"], "application/json");
    let retry_after: u64 = told["headers"]["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&retry_after), "{told}");
    let metadata = &told["metadata"];
    assert_eq!((&metadata["status"], &metadata["passes"]), (&json!("suspended"), &json!(false)), "{told}");
    assert_eq!(
        (&metadata["action_id"], &metadata["verdict_id"]),
        (&json!(action), &json!(verdict)),
        "{told}"
    );
    assert_eq!(
        (&metadata["score"], &metadata["families"]),
        (&json!(0.912), &json!(["payment", "timing"])),
        "{told}"
    );

    // However the client writes its key, whichever other key it sends along, and however Envoy hands them on.
    for headers in [
        json!({ "x-api-key": SUSPENDED }),
        json!({ "api-key": SUSPENDED, "x-api-key": "sk-honest" }),
        json!({ "authorization": format!("Bearer sk-honest,Bearer {SUSPENDED}") }),
        json!({ "x-api-key": format!("sk-honest, {SUSPENDED}") }),
        json!({ "x-api-key": format!("Bearer{}{SUSPENDED}", " ".repeat(17_000)) }),
    ] {
        assert_eq!(client.envoy(headers.clone())["code"], 7, "{headers}");
    }
    let apart = [["authorization", "Bearer sk-honest"], ["Authorization", &format!("bearer {SUSPENDED}")]];
    assert_eq!(client.ask("ext_authz", json!({ "apart": apart }))["code"], 7);

    // Slowed down: its burst, and then when to come back.
    let codes: Vec<Value> = (0..3).map(|_| client.key(SLOW)["code"].clone()).collect();
    assert_eq!(codes, [0, 0, 8]);
    let told = client.key(SLOW);
    // What it rests on is not known of it: that is not said, and not 0.
    assert_eq!((&told["metadata"]["score"], &told["metadata"]["families"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&told["status"], &told["metadata"]["status"]),
        (&json!(429), &json!("rate_limited")),
        "{told}"
    );
    assert_eq!(told["body"]["error"]["type"], "rate_limit_error");
    let retry_after: u64 = told["headers"]["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&retry_after), "{told}");
    // All ways to ask share the bucket.
    assert_eq!(ask(&address, "/auth", &format!("x-api-key: {SLOW}\r\n")).0, 429);

    // More keys than anybody has: nobody would know whose the request is.
    let many = (0..100).map(|number| format!("k{number}")).collect::<Vec<_>>();
    let told = client.envoy(json!({ "x-api-key": many.join(",") }));
    assert_eq!((&told["code"], &told["status"]), (&json!(3), &json!(400)), "{told}");
    assert_eq!(ask(&address, "/auth", &format!("x-api-key: {}\r\n", many.join(","))).0, 400);

    assert_eq!(answers(&metrics, "suspended", "ext_authz"), 7);
    assert_eq!((answers(&metrics, "passed", "ext_authz"), answers(&metrics, "limited", "ext_authz")), (4, 2));
    assert_eq!((answers(&metrics, "limited", "http"), answers(&metrics, "refused", "http")), (1, 1));
    assert_eq!((answers(&metrics, "refused", "ext_authz"), answers(&metrics, "passed", "grpc")), (1, 0));
    run.stop();
}

#[test]
fn envoys_rate_limits_are_the_same_answers_and_the_same_bucket() {
    let place = Place::new();
    let (run, address, metrics) = server(&place, &["--decide-tenant-header", "X-Tenant"]);
    let Some(mut client) = Client::of(&address) else { return };
    let mut limit = |descriptors: Value| client.ask("rate_limit", json!({ "descriptors": descriptors }));
    let bearer = |key: &str| json!(["authorization", format!("Bearer {key}")]);

    let told = limit(json!([[bearer("sk-honest")], [["path", "/v1/chat/completions"]]]));
    assert_eq!((&told["code"], &told["codes"]), (&json!("OK"), &json!(["OK", "OK"])), "{told}");
    assert_eq!(
        (&told["headers"], &told["body"], &told["to_the_model"]),
        (&json!({}), &Value::Null, &json!(0))
    );
    assert_eq!(told["metadata"]["status"], "ok");

    // Whichever descriptor names it, and however the entry's key is written; the others are told by
    // themselves.
    let told = limit(json!([[bearer("sk-honest")], [["X-Api-Key", SUSPENDED], ["path", "/"]]]));
    assert_eq!(
        (&told["code"], &told["codes"]),
        (&json!("OVER_LIMIT"), &json!(["OK", "OVER_LIMIT"])),
        "{told}"
    );
    let verdict = VerdictId([0xb2; 16]).to_string();
    let error =
        json!({ "type": "permission_error", "message": "This key is suspended.", "verdict_id": verdict });
    assert_eq!(told["body"], json!({ "error": error }));
    let retry_after: u64 = told["headers"]["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&retry_after), "{told}");
    assert!(told["resets_s"][1].as_u64().unwrap().abs_diff(retry_after) <= 1, "{told}");
    assert_eq!(told["limits"], json!([{}, {}]), "no rate would let it pass: {told}");
    assert_eq!(
        (&told["metadata"]["status"], &told["metadata"]["score"]),
        (&json!("suspended"), &json!(0.912)),
        "{told}"
    );

    // A request uses one up, however many descriptors name its key; all ways to ask share the bucket.
    let slow = json!([[bearer(SLOW)], [bearer(SLOW), ["path", "/"]]]);
    let codes: Vec<Value> = (0..3).map(|_| limit(slow.clone())["code"].clone()).collect();
    assert_eq!(codes, ["OK", "OK", "OVER_LIMIT"]);
    let told = limit(slow);
    assert_eq!(told["codes"], json!(["OVER_LIMIT", "OVER_LIMIT"]), "{told}");
    let rate = json!({ "name": "weir", "requests_per_unit": 2, "unit": "MINUTE" });
    assert_eq!(told["limits"], json!([rate, rate]), "{told}");
    assert_eq!(told["body"]["error"]["type"], "rate_limit_error");
    assert_eq!(told["metadata"]["status"], "rate_limited");
    assert_eq!(ask(&address, "/auth", &format!("x-api-key: {SLOW}\r\n")).0, 429);

    // The tenant is the request's, whichever descriptor says it; and nobody passes of whom nobody would know
    // who it is.
    let mut limit = |descriptors: Value| client.ask("rate_limit", json!({ "descriptors": descriptors }));
    assert_eq!(limit(json!([[bearer(SUSPENDED)], [["x-tenant", "unknown"]]]))["code"], "OK");
    for unclear in [
        json!([[bearer(SUSPENDED)], [["x-tenant", "a"], ["x-tenant", "b"]]]),
        json!([
            (0..40).map(|n| json!(["x-api-key", format!("k{n}")])).collect::<Vec<_>>(),
            (40..80).map(|n| json!(["x-api-key", format!("k{n}")])).collect::<Vec<_>>()
        ]),
    ] {
        let told = limit(unclear);
        assert_eq!(
            (&told["code"], &told["body"]["error"]["type"]),
            (&json!("OVER_LIMIT"), &json!("invalid_request_error")),
            "{told}"
        );
        assert_eq!(told["codes"], json!(["OVER_LIMIT", "OVER_LIMIT"]), "{told}");
    }
    for malformed in [json!({ "domain": "", "descriptors": [[bearer("k")]] }), json!({ "descriptors": [] })] {
        assert_eq!(client.ask("rate_limit", malformed)["error"], "INVALID_ARGUMENT");
    }
    let kinds = ["passed", "limited", "suspended", "refused"];
    assert_eq!(kinds.map(|kind| answers(&metrics, kind, "rate_limit")), [4, 2, 1, 2]);
    run.stop();
}

#[test]
fn a_request_uses_as_many_up_as_envoy_says_and_none_gives_any_back() {
    let place = Place::new();
    let (run, address, _) = server(&place, &[]);
    let Some(mut client) = Client::of(&address) else { return };
    let slow = json!([["authorization", format!("Bearer {SLOW}")]]);
    let mut code = |asked: Value| {
        let mut asked = asked;
        asked["descriptors"] = json!([slow, [["path", "/"]]]);
        client.ask("rate_limit", asked)["code"].clone()
    };
    // Two may be made at once, and two a minute. One that uses nothing up is told how it stands.
    assert_eq!(code(json!({ "descriptors_hits": [0, 0] })), "OK");
    assert_eq!(code(json!({ "descriptors_hits": [-9, 0] })), "OK");
    assert_eq!(code(json!({ "hits": 2 })), "OK");
    assert_eq!(code(json!({})), "OVER_LIMIT");
    assert_eq!(code(json!({ "descriptors_hits": [-9, -9] })), "OVER_LIMIT", "it is told so");
    assert_eq!(code(json!({})), "OVER_LIMIT", "and nothing came back");
    assert_eq!(ask(&address, "/auth", &format!("x-api-key: {SLOW}\r\n")).0, 429);
    run.stop();
}

#[test]
fn envoys_external_processor_is_answered_once_about_headers_and_changes_nothing_of_a_request_that_passes() {
    let place = Place::new();
    let (run, address, metrics) = server(&place, &[]);
    let Some(mut client) = Client::of(&address) else { return };
    let mut process = |key: &str| {
        let headers = [[":path", "/v1/chat/completions"], ["Authorization", &format!("Bearer {key}")]];
        client.ask("ext_proc", json!({ "headers": headers }))
    };

    let told = process("sk-honest");
    assert_eq!((&told[0]["kind"], &told[1]), (&json!("request_headers"), &Value::Null), "{told}");
    assert_eq!(told[0]["changes"], json!({ "response": {} }), "{told}");
    assert_eq!(told[0]["metadata"]["weir"]["status"], "ok", "{told}");

    let told = process(SUSPENDED);
    assert_eq!((&told[0]["kind"], &told[1]), (&json!("immediate_response"), &Value::Null), "{told}");
    let told = &told[0];
    assert_eq!((&told["status"], &told["grpc_status"]), (&json!(403), &json!(7)), "{told}");
    assert_eq!(told["body"]["error"]["message"], "This key is suspended.");
    assert_eq!(
        (&told["headers"]["content-type"], &told["details"]),
        (&json!("application/json"), &json!("weir_refused"))
    );
    let retry_after: u64 = told["headers"]["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&retry_after), "{told}");
    assert_eq!(told["metadata"]["weir"]["families"], json!(["payment", "timing"]), "{told}");

    let statuses: Vec<Value> = (0..3).map(|_| process(SLOW)[0]["status"].clone()).collect();
    assert_eq!(statuses, [0, 0, 429]);
    assert_eq!(ask(&address, "/auth", &format!("x-api-key: {SLOW}\r\n")).0, 429, "the bucket is shared");

    let many = (0..100).map(|number| format!("k{number}")).collect::<Vec<_>>().join(",");
    let told = client.ask("ext_proc", json!({ "headers": [["x-api-key", many]] }));
    assert_eq!((&told[0]["status"], &told[0]["grpc_status"]), (&json!(400), &json!(3)), "{told}");
    // Where Envoy only observes, and where it has nothing to ask, nothing is said.
    let observed = client.ask("ext_proc", json!({ "headers": [["x-api-key", SUSPENDED]], "observes": true }));
    assert_eq!(observed, json!([]));
    assert_eq!(client.ask("ext_proc", json!({ "headers": [], "says_nothing": true })), json!([]));
    let told = client.ask("ext_proc", json!({ "body": "x" }));
    assert_eq!(told["error"], "INVALID_ARGUMENT", "{told}");
    assert!(told["reason"].as_str().unwrap().contains("request_header_mode"), "{told}");

    let kinds = ["passed", "limited", "suspended", "refused"];
    assert_eq!(kinds.map(|kind| answers(&metrics, kind, "ext_proc")), [3, 1, 2, 1]);
    run.stop();
}

#[test]
fn programs_are_told_how_an_account_stands_by_its_pseudonym_or_its_key() {
    let place = Place::new();
    let keys = place.keys_of("collector");
    let account = stands_as(&place, &keys, "sk-other", &suspended()).to_string();
    let limited = Standing { status: StandingStatus::Limited, ..Standing::default() };
    let other = stands_as(&place, &keys, "sk-slow-too", &limited).to_string();
    let (run, address, _) = server(&place, &[]);
    let Some(mut client) = Client::of(&address) else { return };
    let mut by_key = |key: &str, look: bool| {
        client.ask("check", json!({ "credentials": { "keys": [key] }, "look": look }))
    };

    let told = by_key("sk-honest", false);
    assert_eq!((&told["status"], &told["passes"]), (&json!("STATUS_OK"), &json!(true)), "{told}");
    assert_eq!((&told["action_id"], &told["retry_after_ms"]), (&Value::Null, &Value::Null), "{told}");

    // To look uses nothing up.
    let looked: Vec<Value> = (0..3).map(|_| by_key(SLOW, true)["passes"].clone()).collect();
    assert_eq!(looked, [true, true, true]);
    let asked: Vec<Value> = (0..3).map(|_| by_key(SLOW, false)["passes"].clone()).collect();
    // What does not hold is not said: proto3 leaves false out.
    assert_eq!(asked, [json!(true), json!(true), Value::Null]);
    let told = by_key(SLOW, false);
    assert_eq!(told["status"], "STATUS_RATE_LIMITED");
    let retry_after_ms: i64 = told["retry_after_ms"].as_str().unwrap().parse().unwrap();
    assert!((1..=30_000).contains(&retry_after_ms), "{told}");

    assert_eq!(told["evidence"], Value::Null, "it is not known: {told}");

    // Nor does whoever names an account use anything of it up.
    let mut by_name = || client.ask("check", json!({ "account": other }))["passes"].clone();
    assert_eq!([by_name(), by_name(), by_name()], [true, true, true]);

    let told = client.ask("check", json!({ "account": account }));
    assert_eq!((&told["status"], &told["passes"]), (&json!("STATUS_SUSPENDED"), &Value::Null), "{told}");
    assert_eq!(told["action_id"], ActionId([0xa1; 16]).to_string());
    assert_eq!(told["verdict_id"], VerdictId([0xb2; 16]).to_string());
    assert_eq!(told["evidence"], json!({ "score": 0.912, "families": ["payment", "timing"] }), "{told}");
    let number = |name: &str| told[name].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!(number("until_ms") - number("since_ms"), 3_600_000);
    assert!((3_000_000..=3_600_000).contains(&number("retry_after_ms")), "{told}");
    assert!((0..60_000).contains(&number("stale_ms")), "{told}");

    let many = (0..65).map(|number| format!("k{number}")).collect::<Vec<_>>();
    for (asked, reason) in [
        (json!({}), "give an account, or the credentials of a request"),
        (json!({ "account": "sk-other" }), "an account is named by its pseudonym"),
        (json!({ "credentials": { "keys": many } }), "a request may have 64 keys at most"),
        (json!({ "credentials": { "keys": ["a", "b"] }, "look": true }), "one account can be looked at"),
    ] {
        let told = client.ask("check", asked);
        assert_eq!(told["error"], "INVALID_ARGUMENT", "{told}");
        assert!(told["reason"].as_str().unwrap().starts_with(reason), "{told}");
    }
    run.stop();
}

#[test]
fn a_key_of_another_tenant_is_of_another_account() {
    let place = Place::new();
    let (run, address, _) = server(&place, &["--decide-tenant-header", "X-Tenant"]);
    let Some(mut client) = Client::of(&address) else { return };
    for (tenant, code) in [(Some("default"), 7), (None, 7), (Some("unknown"), 0)] {
        let mut headers = json!({ "x-api-key": SUSPENDED });
        headers.as_object_mut().unwrap().extend(tenant.map(|tenant| ("x-tenant".to_owned(), json!(tenant))));
        assert_eq!(client.envoy(headers)["code"], code, "{tenant:?}");
        let told = client.ask("check", json!({ "credentials": { "keys": [SUSPENDED], "tenant": tenant } }));
        assert_eq!(told["passes"] == true, code == 0, "{tenant:?}: {told}");
    }
    run.stop();
}

#[test]
fn the_server_says_that_it_is_well_and_what_it_speaks_and_refuses_what_it_does_not() {
    let place = Place::new();
    let (run, address, _) = server(&place, &[]);
    let Some(mut client) = Client::of(&address) else { return };
    const SERVICES: [&str; 4] = [
        "envoy.service.auth.v3.Authorization",
        "envoy.service.ext_proc.v3.ExternalProcessor",
        "envoy.service.ratelimit.v3.RateLimitService",
        "weir.v1.Decisions",
    ];
    for service in SERVICES.into_iter().chain([""]) {
        eventually("it is well", || client.is_well(service) == "SERVING");
    }
    assert_eq!(client.is_well("weir.v1.Nothing")["error"], "NOT_FOUND");
    let services = client.ask("services", json!({}));
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(services.as_array().unwrap().contains(&json!(service)), "{services}");
    }
    let imports = client.ask("imports", json!({}));
    assert_eq!(imports["missing"], json!([]));
    assert!(imports["files"].as_u64().unwrap() > 20, "{imports}");

    assert_eq!(client.ask("tcp", json!({}))["error"], "INVALID_ARGUMENT");
    let body = "x".repeat(2 << 20);
    assert_eq!(client.ask("ext_authz", json!({ "body": body }))["error"], "OUT_OF_RANGE");
    for method in ["/weir.v1.Decisions/Change", "/weir.v1.Nothing/Check"] {
        assert_eq!(client.ask("unknown", json!({ "method": method }))["error"], "UNIMPLEMENTED", "{method}");
    }
    // Nor does an HTTP gateway that asks at the wrong place take the answer for `may pass`.
    assert_eq!(ask(&address, "/weir.v1.Nothing/Check", "").0, 404);
    assert_eq!(ask(&address, "/auht", "").0, 404);
    assert_eq!(ask(&address, "/weir.v1.Decisions/Check", "").0, 415);
    run.stop();
}

#[test]
fn without_redis_a_server_counts_for_itself_over_grpc_too() {
    let place = Place::new();
    // Nobody listens there, and nobody will.
    let (run, address, metrics) = server(&place, &["--decide-redis", "127.0.0.1:1"]);
    let Some(mut client) = Client::of(&address) else { return };
    let codes: Vec<Value> = (0..3).map(|_| client.key(SLOW)["code"].clone()).collect();
    assert_eq!(codes, [0, 0, 8]);
    assert_eq!(client.key(SUSPENDED)["code"], 7);
    assert!(metric(&metrics, "weir_shared_bucket_failures_total") > 0);
    run.stop();
}

#[test]
fn a_server_that_knows_nothing_is_not_well_and_lets_pass_everybody_or_nobody_as_it_was_told() {
    for (failure_mode, code, status) in [("open", 0, "STATUS_OK"), ("closed", 14, "STATUS_UNKNOWN")] {
        let place = Place::new();
        let mut decide = weir(&["decide", "--brokers", "127.0.0.1:1", "--decide-failure-mode", failure_mode]);
        decide.arg("--keys-dir").arg(place.keys_of("collector"));
        let (decide, address) = answering(decide, &[]);
        let Some(mut client) = Client::of(&address) else { return };
        let told = client.key("sk-anybody");
        assert_eq!(told["code"], code, "{told}");
        assert_eq!(told["metadata"]["stale_ms"], Value::Null, "{told}");
        if failure_mode == "closed" {
            assert_eq!(
                (&told["status"], &told["metadata"]["status"]),
                (&json!(503), &json!("unknown")),
                "{told}"
            );
        }
        let told = client.ask("rate_limit", json!({ "descriptors": [[["x-api-key", "sk-anybody"]]] }));
        let code = if failure_mode == "closed" { "OVER_LIMIT" } else { "OK" };
        assert_eq!((&told["code"], &told["codes"]), (&json!(code), &json!([code])), "{told}");
        let told = client.ask("check", json!({ "credentials": { "keys": ["sk-anybody"] } }));
        assert_eq!((&told["status"], &told["stale_ms"]), (&json!(status), &Value::Null), "{told}");
        assert_eq!(client.is_well("envoy.service.auth.v3.Authorization"), "NOT_SERVING");
        decide.kill();
    }
}

/// A file of this test's own that nobody else can read.
fn private(place: &Place, name: &str, text: &str) -> PathBuf {
    let path = place.directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn with_tokens_only_a_gateway_that_shows_one_is_answered_and_probes_are() {
    const TOKEN: &str = "a-token-of-the-tests-and-of-nothing-else";
    let place = Place::new();
    let tokens = private(&place, "tokens", TOKEN);
    stands_as(&place, &place.keys_of("collector"), SUSPENDED, &suspended());
    std::fs::write(&place.feed, "").unwrap();
    let mut run = place.run();
    run.args(["--metrics-addr", "127.0.0.1:0", "--decide-token-file"]).arg(tokens);
    let (run, address, metrics) = answering_with_metrics(run);
    let http = |headers: &str| ask(&address, "/auth", &format!("x-api-key: {SUSPENDED}\r\n{headers}")).0;
    eventually("all is read", || http(&format!("x-weir-token: {TOKEN}\r\n")) == 403);
    assert_eq!((http(""), http("x-weir-token: guessed-and-wrong\r\n")), (401, 401));
    // Nor is a client let in that says it speaks gRPC, whose errors are HTTP 200.
    assert_eq!(http("content-type: application/grpc\r\n"), 401);
    // The client's key is no token, and a token no client's key.
    assert_eq!(http(&format!("authorization: Bearer {TOKEN}\r\n")), 401);
    assert_eq!(ask(&address, "/v1/accounts/00000000000000000000000000000000", "").0, 401);

    let Some(mut client) = Client::of(&address) else { return };
    let headers = json!({ "x-api-key": SUSPENDED });
    assert_eq!(client.ask("ext_authz", json!({ "headers": headers, "token": TOKEN }))["code"], 7);
    assert_eq!(client.envoy(headers)["error"], "UNAUTHENTICATED");
    assert_eq!(client.is_well("weir.v1.Decisions"), "SERVING");
    assert_eq!(answers(&metrics, "unauthenticated", "ext_authz"), 1);
    assert_eq!(answers(&metrics, "unauthenticated", "http"), 5);
    run.stop();
}

#[test]
fn with_certificates_of_gateways_only_who_shows_one_of_theirs_is_answered() {
    let place = Place::new();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (certificate, key) = ours.identity();
    let authority = private(&place, "authority.pem", &ours.certificate.pem());
    let (certificate, key) = (private(&place, "cert.pem", &certificate), private(&place, "key.pem", &key));
    stands_as(&place, &place.keys_of("collector"), SUSPENDED, &suspended());
    std::fs::write(&place.feed, "").unwrap();
    let mut run = place.run();
    run.args(["--metrics-addr", "127.0.0.1:0", "--decide-cert-file"]).arg(certificate);
    run.arg("--decide-key-file").arg(key).arg("--decide-client-ca-file").arg(&authority);
    let (run, address, metrics) = answering_with_metrics(run);

    let ((known, known_key), (foreign, foreign_key)) = (ours.identity(), others.identity());
    let known = (private(&place, "known.pem", &known), private(&place, "known.key", &known_key));
    let foreign = (private(&place, "foreign.pem", &foreign), private(&place, "foreign.key", &foreign_key));
    let empty = private(&place, "empty", "");
    let Some(mut client) = Client::with(&address, &[&authority, &known.0, &known.1]) else { return };
    eventually("all is read", || client.key(SUSPENDED)["code"] == 7);
    for (certificate, key) in [(&foreign.0, &foreign.1), (&empty, &empty)] {
        let mut client = Client::with(&address, &[&authority, certificate, key]).unwrap();
        assert_eq!(client.key(SUSPENDED)["error"], "UNAVAILABLE");
    }
    // Nor without TLS.
    assert_eq!(Client::of(&address).unwrap().key(SUSPENDED)["error"], "UNAVAILABLE");
    assert!(metric(&metrics, "weir_gateway_handshakes_failed_total") > 0);
    run.stop();
}

#[test]
fn by_every_transport_each_tenant_is_answered_as_it_chose_and_strangers_are_refused() {
    let place = Place::new();
    let directory = place.directory.path().join("tenants");
    std::fs::create_dir(&directory).unwrap();
    for (id, mode) in [("shut", "closed"), ("wide", "open")] {
        std::fs::write(directory.join(format!("{id}.toml")), format!("failure_mode = \"{mode}\"")).unwrap();
    }
    // Nobody listens there, and nobody will: too little is known, of everybody.
    let mut decide = weir(&["decide", "--brokers", "127.0.0.1:1", "--decide-tenant-header", "X-Tenant"]);
    decide.arg("--keys-dir").arg(place.keys_of("collector")).arg("--tenants-dir").arg(&directory);
    decide.args(["--metrics-addr", "127.0.0.1:0"]);
    let (decide, address, metrics) = answering_with_metrics(decide);
    let Some(mut client) = Client::of(&address) else { return };
    let unknown = "the tenant of the request is not registered here";
    let unnamed = "the request names no tenant, and without one nobody is answered here";
    for (tenant, code, status, word, message) in [
        (Some("wide"), 0, 0, Some("STATUS_OK"), None),
        (
            Some("shut"),
            14,
            503,
            Some("STATUS_UNKNOWN"),
            Some("Requests cannot be let through now. Try again later."),
        ),
        (Some("stranger"), 7, 403, None, Some(unknown)),
        (None, 7, 403, None, Some(unnamed)),
    ] {
        let mut headers = json!({ "x-api-key": "sk-anybody" });
        headers.as_object_mut().unwrap().extend(tenant.map(|tenant| ("x-tenant".to_owned(), json!(tenant))));
        let told = client.envoy(headers);
        assert_eq!(told["code"], code, "{tenant:?}: {told}");
        let of_message = |body: &Value| body["error"]["message"].as_str().map(str::to_owned);
        assert_eq!(of_message(&told["body"]).as_deref(), message, "{told}");
        assert_eq!(told["status"].as_i64().unwrap_or(0), status, "{told}");

        let named = tenant.map(|tenant| ["X-Tenant", tenant]);
        let headers: Vec<_> = named.into_iter().chain([["x-api-key", "sk-anybody"]]).collect();
        let told = &client.ask("ext_proc", json!({ "headers": headers }))[0];
        assert_eq!((&told["status"], &told["grpc_status"]), (&json!(status), &json!(code)), "{told}");
        assert_eq!(of_message(&told["body"]).as_deref(), message, "{told}");

        let told = client.ask("rate_limit", json!({ "descriptors": [headers] }));
        let limited = if code == 0 { "OK" } else { "OVER_LIMIT" };
        assert_eq!((&told["code"], &told["codes"]), (&json!(limited), &json!([limited])), "{told}");
        assert_eq!(of_message(&told["body"]).as_deref(), message, "{told}");

        let keys = json!({ "keys": ["sk-anybody"], "tenant": tenant });
        // Of an account that is named, or looked at, the mode says nothing; that its tenant is a stranger
        // does.
        for (asked, word) in [
            (json!({ "credentials": keys }), word),
            (json!({ "credentials": { "keys": ["sk-anybody"] }, "tenant": tenant }), word),
            (json!({ "credentials": keys, "look": true }), word.map(|_| "STATUS_OK")),
            (json!({ "account": "0".repeat(32), "tenant": tenant }), word.map(|_| "STATUS_OK")),
        ] {
            let told = client.ask("check", asked);
            match word {
                Some(word) => assert_eq!(told["status"], word, "{tenant:?}: {told}"),
                None => assert_eq!(
                    (&told["error"], told["reason"].as_str()),
                    (&json!("PERMISSION_DENIED"), message),
                    "{told}"
                ),
            }
        }
    }
    for transport in ["ext_authz", "ext_proc", "rate_limit"] {
        let kinds = ["passed", "unknown", "unknown_tenant", "no_tenant"];
        assert_eq!(kinds.map(|kind| answers(&metrics, kind, transport)), [1, 1, 1, 1], "{transport}");
    }
    let kinds = ["passed", "unknown", "unknown_tenant", "no_tenant"];
    assert_eq!(kinds.map(|kind| answers(&metrics, kind, "grpc")), [2, 2, 4, 4]);
    // Two names are none, wherever they stand.
    let told =
        client.ask("check", json!({ "credentials": { "keys": ["k"], "tenant": "wide" }, "tenant": "shut" }));
    assert_eq!(told["error"], "INVALID_ARGUMENT", "{told}");
    decide.kill();
}
