use super::*;
use crate::exchange::{Exchange, HeaderNames};
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// What the records of a line became, in the order in which they stand there. Only tests print an exchange.
fn shown(format: &Format, line: impl AsRef<[u8]>) -> String {
    let mut reader = Reader::new(format, 1 << 20).unwrap();
    let mut all = Vec::new();
    let mut each = |record: Record<'_>| {
        all.push(match &record.read {
            _ if record.is_other => "other".into(),
            Ok(exchange) => show(exchange),
            Err(refusal) => format!("{}: {}", refusal.kind, refusal.reason),
        });
    };
    for bytes in line.as_ref().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        reader.read(Line::whole(0, bytes), &mut each);
    }
    reader.finish(&mut each);
    all.join("\n\n").replace('\0', "\\0")
}

pub(super) fn show(e: &Exchange<'_>) -> String {
    let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
    let mut all = format!("{} @{}", e.account, e.time_ms);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all += &format!("\n{name}={value}");
        }
    };
    add("id", text(&e.request_id));
    add("tenant", text(&e.tenant));
    add("address", e.address.map(|address| address.to_string()));
    add("user_agent", text(&e.user_agent));
    add("endpoint", text(&e.endpoint));
    add("model", text(&e.model));
    add("prompt", text(&e.prompt));
    add("system", text(&e.system_prompt));
    add("system_hash", text(&e.system_prompt_hash));
    add("tokens", e.prompt_tokens.map(|n| n.to_string()));
    add("max_tokens", e.max_tokens.map(|n| n.to_string()));
    add("turns", e.turns.map(|n| n.to_string()));
    add("tools", e.tools_offered.map(|n| format!("{n} offered")));
    add("tools", e.tools_called.filter(|n| *n > 0).map(|n| format!("{n} called")));
    add("temperature", e.temperature_permille.map(|n| format!("{n} permille")));
    add("n", e.candidates.map(|n| n.to_string()));
    add("logprobs", e.logprobs.map(|flag| flag.to_string()));
    add("response_format", e.response_format.map(|format| format.to_string()));
    add("stream", e.stream.map(|flag| flag.to_string()));
    add("status", e.status.map(|n| n.to_string()));
    add("latency_ms", e.latency_ms.map(|n| n.to_string()));
    add("completion", e.completion_tokens.map(|n| n.to_string()));
    add("bytes", e.response_bytes.map(|n| n.to_string()));
    add("refused", e.refused.then(|| "yes".into()));
    add("finish", e.finish_reason.map(|reason| reason.to_string()));
    add("tool_calls", e.tool_calls.map(|n| n.to_string()));
    add("org", text(&e.org));
    add("payment", text(&e.payment));
    add("country", text(&e.country));
    add("asn", e.asn.map(|n| n.to_string()));
    add("asn_org", text(&e.asn_org));
    add("ja3", text(&e.ja3));
    add("ja3s", text(&e.ja3s));
    add("ja4", text(&e.ja4));
    add("h2", text(&e.h2));
    add(
        "headers",
        e.headers.as_ref().map(|headers| match headers {
            HeaderNames::Joined(names) => names.clone().into_owned(),
            HeaderNames::List(names) => names.join(" "),
        }),
    );
    add("label", text(&e.label));
    add("population", text(&e.population));
    add("unowned", e.is_unowned.then(|| "yes".into()));
    let unknown: Vec<&str> = e.unknown.iter().map(|field| field.as_str()).collect();
    add("unknown", (!unknown.is_empty()).then(|| unknown.join(" ")));
    all
}

pub(super) fn of(name: &str) -> Format {
    Format::load(name).unwrap()
}

/// The line's own format and `auto` must read the same.
fn check(format: &str, line: &str, expected: Expect) {
    expected.assert_eq(&shown(&of(format), line));
    assert_eq!(shown(&Format::Auto, line), shown(&of(format), line), "auto reads it as {format}");
}

fn read(line: impl AsRef<[u8]>, expected: Expect) {
    expected.assert_eq(&shown(&Format::Auto, line));
}

#[test]
fn weirs_own_lines_are_read() {
    check(
        "weir",
        r#"{"id": "9f0c6a52", "time": "2026-11-21T06:30:06.320Z", "tenant": "default", "account": "sk-example-lantern-school", "ip": "2001:db8:40::17", "user_agent": "curl/7.88.1", "endpoint": "/v1/chat/completions", "model": "atlas-1", "prompt": "What is a fjord?", "system_prompt": "You are a kind tutor.", "max_tokens": 256, "tokens": 221, "status": 200, "latency_ms": 6, "org": "org-lantern", "payment": "5f2c9d1be0a47c38", "country": "SE", "asn": 64501, "asn_org": "Example Fibre", "ja3": "0123456789abcdef0123456789abcdef", "ja4": "t13d1516h2_8daaf6152771_b186095e22b6", "h2": "1:65536;3:1000", "header_order": ["host", "user-agent", "accept"], "label": "benign"}"#,
        expect![[r#"
            sk-example-lantern-school @1795242606320
            id=9f0c6a52
            tenant=default
            address=2001:db8:40::17
            user_agent=curl/7.88.1
            endpoint=/v1/chat/completions
            model=atlas-1
            prompt=What is a fjord?
            system=You are a kind tutor.
            tokens=221
            max_tokens=256
            status=200
            latency_ms=6
            org=org-lantern
            payment=5f2c9d1be0a47c38
            country=SE
            asn=64501
            asn_org=Example Fibre
            ja3=0123456789abcdef0123456789abcdef
            ja4=t13d1516h2_8daaf6152771_b186095e22b6
            h2=1:65536;3:1000
            headers=host user-agent accept
            label=benign"#]],
    );
    check("weir", r#"{"account":"acct-1","time":1795242606.320}"#, expect!["acct-1 @1795242606320"]);
}

#[test]
fn nginx_rich_lines_are_read_and_the_body_is_taken_apart() {
    check(
        "weir_rich",
        r#"{"request_id":"415fd5fc12ee634664dabeaf7bdb0e68","time":1795242606.320,"account":"sk-example-lantern-school","org":"org-lantern","payment":"5f2c9d1be0a47c38","ip":"2001:db8:40::17","country":"SE","asn":"64501","asn_org":"Example Fibre","user_agent":"curl/7.88.1","method":"POST","uri":"/v1/chat/completions","status":"200","request_time":0.006,"bytes_received":546,"bytes_sent":503,"request_body":"{\"model\":\"atlas-1\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a kind tutor.\"},{\"role\":\"user\",\"content\":\"What is a \\\"fjord\\\"?\\nOne line, très court.\"}],\"max_tokens\":256}","response_model":"atlas-2","prompt_tokens":"9","completion_tokens":"212","finish_reason":"content_filter","header_order":"host,user-agent,accept","ja3":"","ja4":"","campaign_label":"benign"}"#,
        expect![[r#"
            sk-example-lantern-school @1795242606314
            id=415fd5fc12ee634664dabeaf7bdb0e68
            address=2001:db8:40::17
            user_agent=curl/7.88.1
            endpoint=/v1/chat/completions
            model=atlas-1
            prompt=What is a "fjord"?
            One line, très court.
            system=You are a kind tutor.
            tokens=9
            max_tokens=256
            turns=1
            status=200
            latency_ms=6
            completion=212
            bytes=503
            refused=yes
            finish=REFUSAL
            org=org-lantern
            payment=5f2c9d1be0a47c38
            country=SE
            asn=64501
            asn_org=Example Fibre
            headers=host,user-agent,accept
            label=benign"#]],
    );
    check(
        "weir_rich",
        r#"{"request_id":"72c8","time":1795242606.449,"account":"sk-example-pilot","org":"","payment":"","ip":"unix:","country":"","asn":"","asn_org":"","user_agent":"curl/7.88.1","method":"GET","uri":"/v1/models","status":"000","request_time":0.005,"bytes_received":158,"bytes_sent":270,"request_body":"","response_model":"atlas-2","prompt_tokens":"","completion_tokens":"","finish_reason":"","header_order":"","ja3":"0123","ja4":"","campaign_label":""}"#,
        expect![[r#"
            sk-example-pilot @1795242606444
            id=72c8
            user_agent=curl/7.88.1
            endpoint=/v1/models
            model=atlas-2
            latency_ms=5
            bytes=270
            ja3=0123"#]],
    );
}

#[test]
fn nginx_basic_lines_are_read() {
    check(
        "weir_basic",
        r#"{"request_id":"415f","account_id":"acct-example-lantern","timestamp":1795242606.320,"request_time":0.250,"ip_address":"2001:db8:40::17","user_agent":"curl/7.88.1","model":"","prompt":"{\"model\":\"atlas-1\",\"messages\":[{\"role\":\"user\",\"content\":\"What?\"}],\"max_tokens\":256}","token_count":"174","country_code":"SE","payment_method_hash":"5f2c9d1be0a47c38"}"#,
        expect![[r#"
            acct-example-lantern @1795242606070
            id=415f
            address=2001:db8:40::17
            user_agent=curl/7.88.1
            model=atlas-1
            prompt=What?
            tokens=174
            max_tokens=256
            turns=1
            latency_ms=250
            payment=5f2c9d1be0a47c38
            country=SE"#]],
    );
    check(
        "weir_basic",
        r#"{"account_id":"Bearer sk-example-lantern-school","timestamp":"2026-11-21T06:30:06+00:00","model":"atlas-1","prompt":"","client_ip":"2001:db8:40::17","user_agent":"curl/7.88.1"}"#,
        expect![[r#"
            sk-example-lantern-school @1795242606000
            address=2001:db8:40::17
            user_agent=curl/7.88.1
            model=atlas-1"#]],
    );
}

#[test]
fn envoy_lines_are_read_whether_numbers_are_typed_or_not() {
    let line = r#"{"start_time": "2026-11-21T06:30:06.320Z", "request_id": "2c9b", "authority": "llm.example.com", "method": "POST", "path": "/v1/chat/completions", "response_code": 200, "bytes_received": 174, "bytes_sent": 503, "duration": 412, "user_agent": "curl/7.88.1", "authorization": "Bearer sk-1", "x_forwarded_for": "203.0.113.77", "downstream_remote_address": "203.0.113.78", "tls_ja3": "0123", "tls_ja4": "t13d", "x_account_id": "acct-1", "x_model": "atlas-1", "x_payment": "5f2c", "x_org": "org-1"}"#;
    check(
        "envoy",
        line,
        expect![[r#"
            acct-1 @1795242606320
            id=2c9b
            address=203.0.113.78
            user_agent=curl/7.88.1
            endpoint=/v1/chat/completions
            model=atlas-1
            status=200
            latency_ms=412
            bytes=503
            org=org-1
            payment=5f2c
            ja3=0123
            ja4=t13d"#]],
    );
    let quoted = line.replace("200", "\"200\"").replace("503", "\"503\"").replace("412", "\"412\"");
    assert_eq!(shown(&of("envoy"), &quoted), shown(&of("envoy"), line));
    check(
        "envoy",
        r#"{"start_time": "2026-11-21T06:30:06.320Z", "authorization": "Bearer sk-1", "x_forwarded_for": "junk, 203.0.113.77", "downstream_remote_address": "-", "response_code": "0", "tls_ja3": "-", "x_account_id": "-", "x_model": null}"#,
        expect![[r#"
            sk-1 @1795242606320
            address=203.0.113.77"#]],
    );
}

#[test]
fn glasswallys_events_are_read() {
    check(
        "glasswally",
        r#"{"account_id": "acct-1", "timestamp": "2026-11-21T06:30:06Z", "client_ip": "192.0.2.7", "user_agent": "python-requests/2.31", "model": "atlas-1", "prompt": "Think step by step", "system_prompt": "You are an expert", "system_prompt_hash": "ab12", "token_count": 311, "max_tokens": 4096, "payment_method_hash": "5f2c", "org_id": "org-1", "country_code": "SE", "asn_number": 64501, "asn_org": "Example Fibre", "ja3_hash": "0123", "ja3s_hash": "4567", "ja4": "t13d", "h2_settings": {"window": 3, "fingerprint": "1:65536"}, "header_order": ["host", "user-agent"], "campaign_label": "campaign-a", "unknown": {"a": [1, {}]}}"#,
        expect![[r#"
            acct-1 @1795242606000
            address=192.0.2.7
            user_agent=python-requests/2.31
            model=atlas-1
            prompt=Think step by step
            system=You are an expert
            system_hash=ab12
            tokens=311
            max_tokens=4096
            turns=1
            org=org-1
            payment=5f2c
            country=SE
            asn=64501
            asn_org=Example Fibre
            ja3=0123
            ja3s=4567
            ja4=t13d
            h2=1:65536
            headers=host user-agent
            label=campaign-a"#]],
    );
    check(
        "glasswally",
        r#"{"account_id":"acct-2","ts":1795242606320,"ip_address":"192.0.2.8","h2_settings_fp":"fp"}"#,
        expect![[r#"
            acct-2 @1795242606320
            address=192.0.2.8
            h2=fp"#]],
    );
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    read("null", expect!["INVALID_JSON: it is no JSON object, or a torn one, at byte 1"]);
    read("42", expect!["INVALID_JSON: it is no JSON object, or a torn one, at byte 1"]);
    read("[1,2]", expect!["INVALID_JSON: it is no JSON object, or a torn one, at byte 1"]);
    read("plain words", expect!["INVALID_JSON: it is no JSON object, or a torn one, at byte 1"]);
    read(
        r#"203.0.113.9 - bob [26/Nov/2026:06:25:25 +0000] "POST /v1/chat/completions HTTP/1.1" 200 2 "-" "curl/8""#,
        expect![
            "INVALID_JSON: it is of the `combined` or `common` format of web servers, which has neither keys nor prompts: log JSON, with nginx by the files in deploy/nginx"
        ],
    );
    read(
        "#Fields: date time cs-method",
        expect!["INVALID_JSON: it is of the extended format of W3C, which is not read: log JSON"],
    );
    read(
        "time=2026-11-26T06:25:25Z level=info msg=\"chat completion\" model=m",
        expect!["INVALID_JSON: it is logfmt, which is not read: log JSON"],
    );
    read(
        r#"[2026-11-21T06:30:06.320Z] "POST /v1/chat/completions HTTP/1.1" 200 - 12 40 5 4 "-" "curl/8""#,
        expect![
            "INVALID_JSON: it is Envoy's own text format, which names no account: have `json_format` written with the keys in docs/formats.md"
        ],
    );
    read(
        "{'account': 'a', 'time': 1}",
        expect![
            "INVALID_JSON: it is a dictionary as Python prints it, and no JSON: write it with `json.dumps`"
        ],
    );
    for row in ["acct-1,1795242606,m,200", "a;b;c;d", "acct-1\t1795242606\tm\t200"] {
        read(
            row,
            expect![
                "INVALID_JSON: it has columns, and no line names an account and a time among them: write their names into the file's first line, or into a format file (`columns` in docs/formats.md)"
            ],
        );
    }
    read(
        "well, that, as it is, fails",
        expect!["INVALID_JSON: it is no JSON object, or a torn one, at byte 1"],
    );
    read("{oops}", expect!["INVALID_JSON: it is no JSON object, or a torn one, at byte 2"]);
    read(r#"{"account":"secret""#, expect!["INVALID_JSON: it is no JSON object, or a torn one, at byte 20"]);
    read("\u{feff}", expect![""]);
    read(b"\xff\xff", expect!["INVALID_UTF8: byte 0 of the line is not UTF-8"]);
    read("[".repeat(100_000), expect![""]);
    read(
        r#"{"header_order":["#.repeat(10_000),
        expect!["INVALID_JSON: it is no JSON object, or a torn one, at byte 170001"],
    );
}

#[test]
fn what_every_event_needs_must_be_there() {
    read(
        "{}",
        expect![
            "MISSING_FIELD: fields `account` and `time` are missing: the line is of no format that Weir knows"
        ],
    );
    read(
        r#"{"account":"","time":1}"#,
        expect![
            "MISSING_FIELD: field `account` is missing or empty in what looks like Weir's own JSON lines: write the API key or the account id as `account`"
        ],
    );
    read(
        r#"{"account":"Bearer ","time":1}"#,
        expect![
            "MISSING_FIELD: field `account` is missing or empty in what looks like Weir's own JSON lines: write the API key or the account id as `account`"
        ],
    );
    read(
        r#"{"account":"-","time":1}"#,
        expect![
            "MISSING_FIELD: field `account` is missing or empty in what looks like Weir's own JSON lines: write the API key or the account id as `account`"
        ],
    );
    read(
        r#"{"account":null,"time":1}"#,
        expect![
            "MISSING_FIELD: field `account` is missing or empty: the line is of no format that Weir knows; nearest comes Weir's own JSON lines"
        ],
    );
    read(r#"{"account":["a"],"time":1}"#, expect!["a @1000"]);
    read(
        r#"{"account":{},"time":1}"#,
        expect!["INVALID_FIELD: field `account` is not a text or a whole number"],
    );
    read(
        r#"{"account":1.5,"time":1}"#,
        expect!["INVALID_FIELD: field `account` is not a text or a whole number"],
    );
    read(
        r#"{"account":"a"}"#,
        expect![
            "MISSING_FIELD: field `time` is missing or empty: the line is of no format that Weir knows; nearest comes Weir's own JSON lines"
        ],
    );
    read(
        r#"{"account":"a","time":"yesterday"}"#,
        expect![
            "INVALID_FIELD: field `time` is not a time as logs write them, such as RFC 3339 or seconds since 1970"
        ],
    );
    read(
        r#"{"account":"a","time":-5}"#,
        expect![
            "INVALID_FIELD: field `time` is not a time as logs write them, such as RFC 3339 or seconds since 1970"
        ],
    );
    expect!["MISSING_FIELD: field `account` is missing or empty in what looks like Envoy's access log as Weir's documentation configures it: log `%REQ(X-ACCOUNT-ID)%` as `x_account_id`, or `%REQ(AUTHORIZATION)%` as `authorization`"].assert_eq(&shown(&of("envoy"), r#"{"account":"a","time":1}"#));
}

#[test]
fn whatever_else_is_wrong_is_not_known_and_counted() {
    let with = |field: &str| format!(r#"{{"account":"a","time":1,{field}}}"#);
    for (field, name) in [
        (r#""ip":"999.1.1.1""#, "ip"),
        (r#""ip":"192.0.2.7, 198.51.100.1""#, "ip"),
        (r#""ip":7"#, "ip"),
        (r#""tokens":-1"#, "tokens"),
        (r#""tokens":"many""#, "tokens"),
        (r#""tokens":99999999999999999999"#, "tokens"),
        (r#""tokens":NaN"#, "tokens"),
        (r#""tokens":Infinity"#, "tokens"),
        (r#""max_tokens":-1"#, "max_tokens"),
        (r#""max_tokens":true"#, "max_tokens"),
        (r#""status":42"#, "status"),
        (r#""asn":4294967296"#, "asn"),
        (r#""prompt":{"a":1}"#, "prompt"),
        (r#""prompt":7"#, "prompt"),
        (r#""model":{"id":"m"}"#, "model"),
        (r#""header_order":[1]"#, "header_order"),
        (r#""stream":"perhaps""#, "stream"),
        (r#""user_agent":[[]]"#, "user_agent"),
        (r#""org":false"#, "org"),
    ] {
        assert_eq!(shown(&Format::Auto, with(field)), format!("a @1000\nunknown={name}"), "{field}");
    }
    let tenant = format!(r#""tenant":"{}""#, "t".repeat(129));
    assert_eq!(shown(&Format::Auto, with(&tenant)), "a @1000\nunknown=tenant");
    read(
        with(r#""latency_ms":812.4,"max_tokens":0,"prompt":["first","second"]"#),
        expect![[r#"
        a @1000
        prompt=first
        second
        max_tokens=0
        latency_ms=812"#]],
    );
}

#[test]
fn optional_fields_may_be_null_empty_or_a_dash() {
    for nothing in ["null", "\"\"", "\"-\"", "\" \"", "", "-", "[]", "{}"] {
        let fields = ["ip", "model", "org", "tokens", "status", "asn", "ja3", "header_order"];
        let all: String = fields.iter().map(|field| format!(",\"{field}\":{nothing}")).collect();
        let line = format!(r#"{{"account":"a","time":1{all}}}"#);
        let expected = match nothing {
            "[]" | "{}" => continue,
            _ => "a @1000",
        };
        assert_eq!(shown(&Format::Auto, line), expected, "{nothing}");
    }
}

#[test]
fn escapes_that_are_no_character_hide_no_line() {
    read(
        r#"{"account":"a","time":1,"prompt":"cut \ud83d","user_agent":"\ude00x","model":"m\u0000"}"#,
        expect![[r#"
        a @1000
        user_agent=�x
        model=m\0
        prompt=cut �"#]],
    );
    read(
        b"{\"account\":\"a\xff\",\"time\":1,\"model\":\"\xc3\"}",
        expect![[r#"
        a� @1000
        model=�"#]],
    );
}

#[test]
fn of_a_key_that_stands_twice_the_last_counts_but_nothing_erases_nothing() {
    read(
        r#"{"account":"a","account":"b","time":1,"time":null,"model":"m","model":"","prompt":"p","prompt":"q"}"#,
        expect![[r#"
        b @1000
        model=m
        prompt=q"#]],
    );
}

#[test]
fn a_torn_line_costs_itself() {
    let whole = |account: &str| format!(r#"{{"account":"{account}","time":2,"prompt":"p"}}"#);
    read(
        format!(r#"{{"id":"r3","account":"a","tim{}"#, whole("b")),
        expect![[r#"
        INVALID_JSON: it is no JSON object, or a torn one, at byte 32

        b @2000
        prompt=p"#]],
    );
    read(
        format!("{{\"id\":\"r3\",\"account\":\"a\",\"tim\0\0\0\0{}", whole("b")),
        expect![[r#"
        INVALID_JSON: it is no JSON object, or a torn one, at byte 36

        b @2000
        prompt=p"#]],
    );
    read(
        format!(r#"{{"account":"a","time":1,"prompt":"half{}"#, whole("b")),
        expect![[r#"
        a @1000
        unknown=rest

        b @2000
        prompt=p"#]],
    );
    read(
        format!(r#"{{"account":"a{}"#, whole("b")),
        expect![[r#"
        INVALID_JSON: it is no JSON object, or a torn one, at byte 16

        b @2000
        prompt=p"#]],
    );
    read(
        format!(r#"{{"account":"a","time":17{}"#, whole("b")),
        expect![[r#"
        INVALID_JSON: it is no JSON object, or a torn one, at byte 25

        b @2000
        prompt=p"#]],
    );
    read(
        format!(r#"{{"account":"a","o":{{"x":[{}"#, whole("b")),
        expect![[r#"
        INVALID_JSON: it is no JSON object, or a torn one, at byte 63

        b @2000
        prompt=p"#]],
    );
    read(
        format!(r#"half","x":1}}{}"#, whole("b")),
        expect![[r#"
        b @2000
        prompt=p"#]],
    );
    read(
        format!("{}{}", whole("a"), whole("b")),
        expect![[r#"
        a @2000
        prompt=p

        b @2000
        prompt=p"#]],
    );
    read(
        format!("{} {} {{\"account\":\"c", whole("a"), whole("b")),
        expect![[r#"
        a @2000
        prompt=p

        b @2000
        prompt=p

        INVALID_JSON: it is no JSON object, or a torn one, at byte 14"#]],
    );
    read(
        format!("{} junk", whole("a")),
        expect![[r#"
        a @2000
        prompt=p
        unknown=rest"#]],
    );
    read(
        r#"{"account":"a","time":1,"prompt":"cut o"#,
        expect![[r#"
        a @1000
        unknown=rest"#]],
    );
}

#[test]
fn lists_of_records_are_read_one_by_one() {
    read(
        r#"[{"account":"a","time":1},{"account":"b","time":2}]"#,
        expect![[r#"
        a @1000

        b @2000"#]],
    );
    read(
        "[\n  {\n    \"account\": \"a\",\n    \"time\": 1,\n    \"header_order\": [\n      \"host\"\n    ]\n  },\n  {\n    \"account\": \"b\",\n    \"time\": 2\n  }\n]",
        expect![[r#"
        a @1000
        headers=host

        b @2000"#]],
    );
    // What began as JSON over several lines and was torn takes no whole line along.
    read(
        "{\n  \"account\": \"a\",\n{\"account\":\"b\",\"time\":2}\n",
        expect![[r#"
        INVALID_JSON: it is no JSON object, or a torn one, at byte 20

        b @2000"#]],
    );
}

#[test]
fn lines_of_containers_and_collectors_are_unwrapped() {
    let own = r#"{"account":"a","time":1,"prompt":"p"}"#;
    let quoted = serde_json::to_string(own).unwrap();
    for line in [
        format!("2026-11-21T06:30:06.123456789Z stdout F {own}"),
        format!(
            "2026-11-21T06:30:06.1Z stdout P {}\n2026-11-21T06:30:06.2Z stdout F {}",
            &own[..20],
            &own[20..]
        ),
        format!("<190>Nov 21 06:30:06 gw nginx: {own}"),
        format!("<190>1 2026-11-21T06:30:06Z gw nginx 12 - - {own}"),
        format!(
            r#"{{"log":{},"stream":"stdout","time":"2026-11-21T06:30:06.1Z"}}"#,
            quoted.replace("}\"", "}\\n\"")
        ),
        format!(r#"{{"__REALTIME_TIMESTAMP":"1795242606320000","_HOSTNAME":"gw","MESSAGE":{quoted}}}"#),
        format!(r#"{{"timestamp":"2026-11-21T06:30:06.1Z","jsonPayload":{own},"resource":{{}}}}"#),
        format!(r#"{{"@timestamp":"2026-11-21T06:30:06.1Z","message":{quoted},"host":{{"name":"gw"}}}}"#),
        format!("some prefix: {own}"),
        // Its own `log` is where the line stood.
        format!(
            r#"{{"@timestamp":"2026-11-21T06:30:06.1Z","log":{{"offset":7,"file":{{"path":"/x"}}}},"message":{quoted},"event":{{"kind":"x"}}}}"#
        ),
        format!(r#"{{"@timestamp":"2026-11-21T06:30:06.1Z","message":"x","event":{{"original":{quoted}}}}}"#),
        format!(r#"{{"MESSAGE":{:?},"PRIORITY":"6"}}"#, own.as_bytes()),
        format!(
            r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"id":"1","timestamp":1,"message":{quoted}}}]}}"#
        ),
        format!(r#"{{"events":[{{"logStreamName":"s","timestamp":1,"message":{quoted}}}]}}"#),
        format!(r#"{{"streams":[{{"stream":{{"app":"x"}},"values":[["1795242606000000000",{quoted}]]}}]}}"#),
        format!(
            r#"{{"status":"success","data":{{"resultType":"streams","result":[{{"stream":{{}},"values":[["1",{quoted}]]}}]}}}}"#
        ),
        format!(r#"{{"took":1,"hits":{{"hits":[{{"_index":"x","_id":"1","_source":{own}}}]}}}}"#),
        format!(r#"{{"_index":"x","_source":{own}}}"#),
        format!(r#"{{"preview":false,"result":{{"_raw":{quoted},"_time":"x"}}}}"#),
        format!(r#"{{"id":"x","type":"log","attributes":{{"message":{quoted},"attributes":{{}}}}}}"#),
        format!(
            r#"{{"version":"1.1","host":"h","short_message":"{{\"acc","full_message":{quoted},"timestamp":1}}"#
        ),
        quoted.clone(),
    ] {
        assert_eq!(shown(&Format::Auto, &line), "a @1000\nprompt=p", "{line}");
    }
}

#[test]
fn a_list_that_is_called_like_an_envelope_is_none() {
    read(
        r#"{"account":"a","time":1,"prompt":"p","events":[{"x":1}],"hits":{"hits":[]},"event":{"a":{}},"data":{"b":2},"log":{"c":"{"}}"#,
        expect![[r#"
            a @1000
            prompt=p"#]],
    );
    read(
        r#"{"events":[{"x":1},{"y":2}],"data":{"b":2}}"#,
        expect![
            "MISSING_FIELD: fields `account` and `time` are missing: the line is of no format that Weir knows"
        ],
    );
}

#[test]
fn every_line_of_an_envelope_is_read_or_refused() {
    let own = serde_json::to_string(r#"{"account":"a","time":1}"#).unwrap();
    let said = [r#"["1","starting up"]"#; 9].join(",");
    let all = shown(
        &Format::Auto,
        format!(r#"{{"streams":[{{"stream":{{}},"values":[{said},["1",{own}],["1","x"]]}}]}}"#),
    );
    let of = |begin: &str| all.split("\n\n").filter(|record| record.starts_with(begin)).count();
    assert_eq!((of("a @1000"), of("INVALID_JSON")), (1, 10), "{all}");
}

#[test]
fn times_and_accounts_of_any_type_are_read() {
    for line in [
        r#"{"account":"a","time":{"$date":"2026-11-21T06:30:06.320Z"}}"#,
        r#"{"account":"a","time":{"$date":{"$numberLong":"1795242606320"}}}"#,
        r#"{"account":"a","time":{"seconds":"1795242606","nanos":320000000}}"#,
        r#"{"account":"a","time":[2026,11,21,6,30,6,320000000]}"#,
    ] {
        assert_eq!(shown(&Format::Auto, line), "a @1795242606320", "{line}");
    }
    for time in [r#"{"$date":[]}"#, r#"{"a":1}"#, "[2026,11]", "[2026,13,41,6,30]", "{"] {
        let line = format!(r#"{{"account":"a","time":{time}}}"#);
        assert!(!shown(&Format::Auto, &line).starts_with("a @"), "{line}");
    }
    for (account, id) in [("18446744073709551615", "18446744073709551615"), ("12345.0", "12345")] {
        let line = format!(r#"{{"account":{account},"time":1}}"#);
        assert_eq!(shown(&Format::Auto, &line), format!("{id} @1000"));
    }
    for account in ["1.5", "1e9", "NaN", "-1e400", "true", "{}"] {
        let line = format!(r#"{{"account":{account},"time":1}}"#);
        assert!(!shown(&Format::Auto, &line).contains('@'), "{line}");
    }
}

#[test]
fn a_time_within_a_time_without_end_is_none() {
    let nested = |depth: usize| {
        let (open, close) = (r#"{"$date":"#.repeat(depth), "}".repeat(depth));
        format!(r#"{{"account":"a","time":{open}1795242606320{close}}}"#)
    };
    // A stack of this size is gone long before the end of the line.
    let read = std::thread::Builder::new().stack_size(512 << 10);
    let read = read.spawn(move || [2, 3, 20_000].map(|depth| shown(&Format::Auto, nested(depth))));
    let bad = "INVALID_FIELD: field `time` is not a time as logs write them, such as RFC 3339 or seconds since 1970";
    assert_eq!(read.unwrap().join().unwrap(), ["a @1795242606320", bad, bad]);
}

#[test]
fn a_row_that_ends_within_quotes_costs_itself() {
    let names = "account,time,prompt,user_agent\n";
    let rows = |rows: &str| shown(&Format::Auto, format!("{names}{rows}"));
    // Whoever writes no quotes around cells writes what clients say.
    assert_eq!(
        rows("a,1,p,Moz\"illa\nb,2,q,x\n"),
        "a @1000\nuser_agent=Moz\"illa\nprompt=p\n\nb @2000\nuser_agent=x\nprompt=q"
    );
    let whole = "b @2000\nuser_agent=x\nprompt=q\n\nc @3000\nuser_agent=x\nprompt=\"r\"\ns";
    let torn = "INVALID_FIELD: the line has 3 columns, and the line of names has 4";
    assert_eq!(rows("a,1,\"p\nb,2,\"q\",x\nc,3,\"\"\"r\"\"\ns\",x\n"), format!("{torn}\n\n{whole}"));
    assert_eq!(rows("a,1,\"p\nb,2,q,x\nc,3,\"\"\"r\"\"\ns\",x\n"), format!("{torn}\n\n{whole}"));
    // The last one.
    assert_eq!(rows("b,2,q,x\na,1,\"p"), format!("b @2000\nuser_agent=x\nprompt=q\n\n{torn}"));
    assert_eq!(
        shown(&Format::Auto, ",Account,Time,Prompt\n0,a,1,p\n"),
        "a @1000\nprompt=p",
        "names in any case, behind a column of row numbers"
    );
}

#[test]
fn nothing_that_a_client_says_within_quotes_is_a_row_of_somebody_else() {
    let read = |rows: &str| {
        let mut reader = Reader::new(&Format::Auto, 1 << 20).unwrap();
        let mut all = Vec::new();
        for (offset, line) in (0..).zip(format!("account,time,prompt,user_agent\n{rows}").split('\n')) {
            let line = Line::whole(offset, line.as_bytes());
            reader.read(line, &mut |record| {
                all.push(match record.read {
                    Ok(exchange) => {
                        (exchange.account.into_owned(), exchange.prompt.unwrap_or_default().into_owned())
                    }
                    Err(refusal) => (refusal.kind.to_string(), String::new()),
                });
            });
        }
        all
    };
    let own = |account: &str, prompt: &str| (account.to_owned(), prompt.to_owned());
    let said = [
        "p\n\nvictim,1,q,x\nr",
        "p\n \nvictim,1,q,x\n\nr",
        "p\n{\"account\":\"victim\",\"time\":1}\nvictim,1,q,x\nr",
        "p\n[\nvictim,1,q,x\n{\nvictim,1,q,x\nr",
    ];
    for prompt in said {
        let cell = prompt.replace('"', "\"\"");
        let rows = read(&format!("a,1,\"{cell}\",x\nb,2,q,x"));
        assert_eq!(rows, [own("a", prompt), own("b", "q")], "{prompt}");
        // Of another kind of row, too.
        let rows = read(&format!("a,1,\"{cell}\",x,y\nb,2,q,x"));
        assert_eq!(rows, [own("INVALID_FIELD", ""), own("b", "q")], "{prompt}");
    }
    for count in [9_999, 10_001, 25_000] {
        let cell = "victim,1,q,x\n{\"\"account\"\":\"\"victim\"\",\"\"time\"\":1}\n".repeat(count / 2);
        let rows = read(&format!("a,1,\"p\n{cell}r\",x\nb,2,q,x"));
        let (last, before) = rows.split_last().unwrap();
        assert_eq!(*last, own("b", "q"));
        match count {
            9_999 => assert!(before.len() == 1 && before[0].0 == "a"),
            _ => assert!(before.iter().all(|row| *row == own("LINE_TOO_LONG", "")), "{count}"),
        }
    }
}

#[test]
fn what_was_given_up_within_quotes_ends_with_its_file() {
    let mut reader = Reader::new(&Format::Auto, 64).unwrap();
    let mut all = Vec::new();
    let mut read = |reader: &mut Reader, offset: u64, line: &str| {
        reader.read(Line::whole(offset, line.as_bytes()), &mut |record| all.push(record.read.is_ok()));
    };
    read(&mut reader, 0, "account,time,prompt,user_agent");
    read(&mut reader, 31, "a,1,\"p");
    read(&mut reader, 38, &"q".repeat(80));
    assert!(!reader.is_holding());
    read(&mut reader, 119, "victim,1,q,x");
    assert!(reader.is_holding());
    reader.finish(&mut |record| assert!(record.read.is_err()));
    assert!(!reader.is_holding());
    read(&mut reader, 132, r#"{""account"":""victim"",""time"":1}"#);
    reader.finish(&mut |record| assert!(record.read.is_err()));
    // The next file.
    read(&mut reader, 0, "account,time,prompt,user_agent");
    read(&mut reader, 31, "b,2,q,x");
    assert_eq!(all, [false, true]);
}

#[test]
fn parts_of_dockers_log_are_put_together() {
    let own = r#"{"account":"a","time":1,"prompt":"p"}"#;
    let part = |text: &str, stream: &str| {
        format!(
            r#"{{"log":{},"stream":"{stream}","time":"2026-11-21T06:30:06.1Z"}}"#,
            serde_json::to_string(text).unwrap()
        )
    };
    let other = r#"{"account":"b","time":2}"#;
    let lines = [
        part(&own[..15], "stdout"),
        part(&format!("{other}\n"), "stderr"),
        part(&own[15..30], "stdout"),
        part(&format!("{}\n", &own[30..]), "stdout"),
        part(&format!("{other}\n"), "stdout"),
    ];
    assert_eq!(shown(&Format::Auto, lines.join("\n")), "b @2000\n\na @1000\nprompt=p\n\nb @2000");
    // What never ends is read as far as it goes.
    read(
        part(&own[..36], "stdout"),
        expect![[r#"
        a @1000
        unknown=rest"#]],
    );
}

#[test]
fn what_is_no_request_is_passed_over() {
    let new_api = |kind: &str| {
        let row = r#""user_id":7,"username":"lantern","created_at":1795242607,"model_name":"","quota":1,"token_name":"t""#;
        shown(&Format::Auto, format!("{{{row}{kind}}}"))
    };
    for (kind, expected) in [
        ("1", "other"),
        ("3.0", "other"),
        ("2", "lantern"),
        ("2.0", "lantern"),
        ("\"2.0\"", "lantern"),
        ("5", "lantern"),
    ] {
        let told = new_api(&format!(r#","type":{kind}"#));
        assert!(told.starts_with(expected), "{kind}: {told}");
    }
    assert!(new_api("").starts_with("lantern"), "who does not say is a request");
    let ocsf = |class: u32| {
        let who = r#""actor":{"user":{"uid":"u"}}"#;
        shown(
            &Format::Auto,
            format!(r#"{{"class_uid":{class},"metadata":{{"version":"1.3.0"}},"time":1795242606320,{who}}}"#),
        )
    };
    assert_eq!([6003, 6002, 3002].map(ocsf), ["u @1795242606320", "other", "other"]);
    let langfuse = |kind: &str| {
        let row = r#""startTime":"2026-11-21T06:30:06Z","traceId":"t","userId":"u","modelParameters":{}"#;
        shown(&Format::Auto, format!(r#"{{{row},"type":"{kind}"}}"#))
    };
    assert_eq!([langfuse("SPAN"), langfuse("EVENT"), langfuse("TOOL")], ["other", "other", "other"]);
    assert_eq!(langfuse(r#"AGENT","model":"m"#), "u @1795242606000\nmodel=m", "who names a model asks it");
    assert_eq!(langfuse("generation"), "u @1795242606000");
    assert_eq!([langfuse("GENERATION"), langfuse("EMBEDDING")], ["u @1795242606000", "u @1795242606000"]);
}

/// As over the listener: log shippers write what their exporters would send to files.
#[test]
fn an_export_holds_requests_lines_of_gateways_and_others() {
    let text = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let time = r#""startTimeUnixNano":"1795242606000000000","endTimeUnixNano":"1795242606412000000""#;
    let span = format!(
        r#"{{{time},"attributes":[{},{}]}}"#,
        text("gen_ai.request.model", "m"),
        text("user.id", "u")
    );
    let other = format!(r#"{{{time},"name":"GET /health","attributes":[{}]}}"#, text("url.path", "/health"));
    let spans = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{other},{span},{other}]}}]}}]}}"#);
    check(
        "otel_genai",
        &spans,
        expect![[r#"
            other

            u @1795242606000
            model=m
            latency_ms=412

            other"#]],
    );
    let nameless = [text("gen_ai.operation.name", "chat"), text("user.id", "u")].join(",");
    let tool = nameless.replace("chat", "execute_tool");
    let spans =
        [nameless, tool].map(|attributes| format!(r#"{{{time},"attributes":[{attributes}]}}"#)).join(",");
    check(
        "otel_genai",
        &format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#),
        expect![[r#"
            u @1795242606000
            latency_ms=412

            other"#]],
    );
    let line = r#"{\"account\":\"a\",\"time\":1,\"prompt\":\"p\"}"#;
    let records = [
        format!(r#"{{"timeUnixNano":"1","body":{{"stringValue":"{line}"}}}}"#),
        r#"{"timeUnixNano":"1","body":{"kvlistValue":{"values":[{"key":"account","value":{"stringValue":"b"}},{"key":"time","value":{"intValue":"2"}}]}}}"#.into(),
        r#"{"timeUnixNano":"1","body":{"stringValue":"server started"}}"#.into(),
    ];
    let logs = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, records.join(","));
    // A format of its own for the lines is found only where others are looked for.
    let expected = expect![[r#"
        a @1000
        prompt=p

        b @2000

        other"#]];
    expected.assert_eq(&shown(&Format::Auto, &logs));
}

#[test]
fn a_foreign_key_decides_nothing() {
    let own = r#"{"id":"r1","account":"a","time":1,"model":"m","prompt":"p","user_agent":"n""#;
    let expected = shown(&of("weir"), format!("{own}}}"));
    for key in [
        r#""uri":"/v1""#,
        r#""request_time":0.4"#,
        r#""authorization":"Bearer x""#,
        r#""account_id":"acct-5""#,
        r#""start_time":"2026-11-21T06:30:06Z""#,
        r#""timestamp":"2026-11-21T06:30:06Z""#,
        r#""request_id":"x""#,
        r#""log":"x""#,
        r#""messages":[]"#,
        r#""request_body":"{}""#,
        r#""response":{"status":200}"#,
        r#""attributes":{"gen_ai.request.model":"x"}"#,
        r#""request_id":"x","uri":"/v1""#,
        r#""request_id":"x","request_time":0.4"#,
        r#""uri":"/v1","request_time":0.4"#,
    ] {
        assert_eq!(shown(&Format::Auto, format!("{own},{key}}}")), expected, "{key}");
        assert_eq!(shown(&Format::Auto, format!("{{{key},{}}}", &own[1..])), expected, "{key}");
    }
}

#[test]
fn foreign_keys_that_make_up_a_format_cost_no_model() {
    let line = r#"{"account":"a","time":1,"model":"m","prompt":"p","request_id":"x","uri":"/v1","request_time":0.4}"#;
    let told = shown(&Format::Auto, line);
    assert!(told.contains("\nmodel=m\nprompt=p"), "{told}");
}

#[test]
fn what_another_format_would_read_is_told() {
    let mut reader = Reader::new(&Format::Auto, 1 << 20).unwrap();
    let line = br#"{"account":"a","time":1,"uri":"/v1","request_time":0.4,"asn_number":null,"org_id":"","nobody":1}"#;
    let mut unread = Vec::new();
    reader.read(Line::whole(0, line), &mut |record| {
        assert_eq!(record.format, Some("weir"));
        unread = record.unread().map(str::to_owned).collect();
    });
    unread.sort();
    assert_eq!(unread, ["request_time", "uri"]);
}

#[test]
fn spellings_of_accounts_addresses_and_numbers_are_understood() {
    let account = |text: &str| shown(&Format::Auto, format!(r#"{{"account":{text},"time":1}}"#));
    assert_eq!(account("\"bearer  x\""), "x @1000");
    assert_eq!(account("\"Bearer\\tx\""), "x @1000");
    assert_eq!(account("\"two words\""), "two words @1000");
    assert_eq!(account("42"), "42 @1000");
    assert!(account(&format!("\"{}\"", "x".repeat(600))).starts_with("sha256:"));
    let address = |text: &str| view::parse_address(text).map(|address| address.to_string());
    for text in ["192.0.2.7", "192.0.2.7:443"] {
        assert_eq!(address(text).as_deref(), Some("192.0.2.7"));
    }
    for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443", "2001:db8::1%eth0"] {
        assert_eq!(address(text).as_deref(), Some("2001:db8::1"));
    }
    assert_eq!(address("localhost"), None);
    let line = |field: &str| shown(&Format::Auto, format!(r#"{{"account":"a","time":1,{field}}}"#));
    assert_eq!(line(r#""tokens":"12""#), "a @1000\ntokens=12");
    assert_eq!(line(r#""tokens":12.0"#), "a @1000\ntokens=12");
    assert_eq!(line(r#""asn":"AS64501""#), "a @1000\nasn=64501");
    assert_eq!(line(r#""latency_ms":"1m2.5s""#), "a @1000\nlatency_ms=62500");
    assert_eq!(line(r#""latency_ms":"412.3ms""#), "a @1000\nlatency_ms=412");
    assert_eq!(line(r#""status":"200 OK""#), "a @1000\nstatus=200");
}

#[test]
fn a_request_whose_key_was_refused_is_nobodys() {
    read(
        r#"{"account":"a","time":1,"status":401}"#,
        expect![[r#"
        a @1000
        status=401
        unowned=yes"#]],
    );
    read(
        r#"{"start_time":"2026-11-21T06:30:06Z","authorization":"Bearer a","response_code":401}"#,
        expect![[r#"
            a @1795242606000
            status=401
            unowned=yes"#]],
    );
    // The auth service named the account: the model's provider refused the gateway.
    read(
        r#"{"start_time":"2026-11-21T06:30:06Z","x_account_id":"a","response_code":401}"#,
        expect![[r#"
        a @1795242606000
        status=401"#]],
    );
}

#[test]
fn values_of_any_length_and_script_are_read() {
    for value in ["日", "é", "モデル-名前-とても長い", "x", &"ß".repeat(5_000)] {
        let line = format!(
            r#"{{"account_id":"{0}","ts":1,"model":"{0}","system_prompt_hash":"{0}","payment_method_hash":"{0}"}}"#,
            &value[..value.floor_char_boundary(512)]
        );
        assert!(shown(&Format::Auto, &line).contains("model="), "{value}");
    }
}

#[test]
fn formats_have_names() {
    for spec in shipped() {
        assert_eq!(of(&spec.name).to_string(), spec.name);
    }
    expect![[r#"no such format, and no file of that name: "csvv"; there are auto, weir, weir_rich, weir_basic, envoy, glasswally, litellm, otel_genai, envoy_gateway, istio, kong, apisix, caddy, traefik, haproxy, new_api, portkey, helicone, langfuse, cloudflare, bedrock, azure_apim, azure_openai, vertex, openai_batch, ocsf, vllm"#]].assert_eq(&Format::load("csvv").unwrap_err().to_string());
}

#[test]
fn a_format_of_ones_own_is_read() {
    let format = Format::of_file(
        "mine",
        r#"
        [fields]
        account = ["/auth/key", "fallback"]
        time = { at = "/t", unit = "ms", moment = "end" }
        latency_ms = { at = "took", unit = "us" }
        status = { at = "outcome", means = { ok = "200", denied = "403" } }
        tenant = { value = "north" }
        body = "/http/body"
        "#,
    )
    .unwrap();
    let line = r#"{"auth":{"key":"Bearer k"},"t":1795242606320,"took":320000,"outcome":"denied","http":{"body":"{\"model\":\"m\",\"prompt\":\"p\"}"}}"#;
    expect![[r#"
        k @1795242606000
        tenant=north
        model=m
        prompt=p
        turns=1
        status=403
        latency_ms=320"#]]
    .assert_eq(&shown(&format, line));
    let extended = Format::of_file("e", "extends = \"envoy\"\n[fields]\naccount = \"key\"").unwrap();
    expect![[r#"
        k @1795242606320
        status=200"#]]
    .assert_eq(&shown(
        &extended,
        r#"{"key":"k","start_time":"2026-11-21 06:30:06,320","response_code":"200"}"#,
    ));
}

#[test]
fn a_format_that_cannot_be_is_told_why() {
    let refused = |text: &str, expected: Expect| {
        expected.assert_eq(&Format::of_file("mine", text).unwrap_err().to_string());
    };
    let with = |field: &str| format!("[fields]\naccount = \"a\"\ntime = \"t\"\n{field}");
    refused(
        &with("acount = \"a\""),
        expect![
            "the format mine says of acount what cannot be: there is no such field; docs/formats.md has the list"
        ],
    );
    refused(
        &with("ip = \"/a//b\""),
        expect![[
            r#"the format mine says of ip what cannot be: "/a//b" is no place in a record: a step is empty"#
        ]],
    );
    refused(
        &with("ip = {}"),
        expect![
            "the format mine says of ip what cannot be: it needs `at`, a place, or `value`, but not both"
        ],
    );
    refused(
        &with("ip = { at = \"a\", unit = \"ms\" }"),
        expect!["the format mine says of ip what cannot be: `unit` makes no sense here"],
    );
    refused(
        &with("latency_ms = { at = \"a\", unit = \"minutes\" }"),
        expect!["the format mine is none: line 4: data did not match any variant of untagged enum Sources"],
    );
    refused(
        &with("org = { at = \"a\", set_by = \"client\" }"),
        expect!["the format mine says of org what cannot be: what a client claims never becomes this"],
    );
    refused(
        "[fields]\naccount = \"a\"",
        expect!["the format mine cannot be: it says nowhere where time stands"],
    );
    refused(
        "lines = [\"{a}{b}\"]\n[fields]\naccount = \"a\"\ntime = \"t\"",
        expect![[
            r#"the format mine cannot be: the line pattern "{a}{b}" cannot be: two captures need text between them, and each is {name}"#
        ]],
    );
    refused(
        "extends = \"no\"\n[fields]\n",
        expect![[r#"the format mine cannot be: it extends "no", which is no shipped format"#]],
    );
    refused(
        "name = ",
        expect!["the format mine is none: line 1: string values must be quoted, expected literal string"],
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(line in "\\PC{0,200}") {
        shown(&Format::Auto, &line);
    }

    #[test]
    fn a_line_of_columns_is_the_record_that_has_its_cells_as_texts(
        rows in prop::collection::vec(prop::collection::vec(cell(), 6), 1..6),
    ) {
        let names = ["account", "ip", "user_agent", "prompt", "tokens", "metadata"];
        let (mut columns, mut records) = (format!("time,{}\n", names.join(",")), String::new());
        for row in &rows {
            let cell = |cell: &String| match cell.contains([',', '"']) {
                true => format!("\"{}\"", cell.replace('"', "\"\"")),
                false => cell.clone(),
            };
            columns += &format!("1795242607,{}\n", row.iter().map(cell).collect::<Vec<_>>().join(","));
            let mut record: serde_json::Map<_, _> =
                names.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.as_str().into())).collect();
            record.insert("time".into(), "1795242607".into());
            records += &format!("{}\n", serde_json::Value::from(record));
        }
        prop_assert_eq!(shown(&Format::Auto, &columns), shown(&Format::Auto, &records));
    }

    #[test]
    fn arbitrary_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        shown(&Format::Auto, &line);
    }

    #[test]
    fn whatever_is_in_other_fields_a_line_with_an_account_and_a_time_is_read(
        entries in prop::collection::vec((any::<prop::sample::Index>(), value()), 0..20),
    ) {
        let all = places();
        let body: Vec<String> = entries
            .iter()
            .map(|(index, value)| format!("{}:{value}", serde_json::to_string(index.get(&all)).unwrap()))
            .collect();
        let line = format!(r#"{{"account":"a","time":1,{}"x":0}}"#, body.iter().map(|entry| format!("{entry},")).collect::<String>());
        let shown = shown(&of("weir"), &line);
        prop_assert!(shown.starts_with("a @") , "{} {}", line, shown);
    }
}

/// Every key at the top of any format but the account and the time of Weir's own.
fn places() -> Vec<String> {
    let catalog = Format::Auto.catalog().unwrap();
    let all = (0..catalog.tree.slots() as u16).map(|slot| catalog.tree.path(slot).to_owned());
    all.filter(|path| !path.starts_with('/') && path != "account" && path != "time").collect()
}

/// A cell, with and without what needs quotes.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.]{0,12}",
        "[a-zäß日 ,\"\\\\{}:-]{0,12}",
        Just(r#"{"user_api_key_alias":"lantern","x":[1]}"#.to_owned()),
        Just("192.0.2.7".to_owned()),
        Just("-".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("NaN".to_owned()),
        Just("\"\\ud83d\"".to_owned()),
        Just("\"\\u0000\"".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        (-1e300..1e300f64).prop_map(|value| format!("{value:e}")),
        "[a-z0-9:.é -]{0,12}".prop_map(|text| format!("\"{text}\"")),
        Just(r#""{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}""#.to_owned()),
        Just("1795242606".to_owned()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            inner.prop_map(|value| format!("{{\"fingerprint\":{value},\"messages\":1}}")),
        ]
    })
}
