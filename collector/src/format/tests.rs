use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// What a line became. Only tests print an exchange.
fn shown(format: Format, line: &str) -> String {
    let fields = match Fields::parse(line) {
        Ok(fields) => fields,
        Err(refusal) => return format!("{}: {}", refusal.kind, refusal.reason),
    };
    let e = match format.read(&fields) {
        Ok(exchange) => exchange,
        Err(refusal) => return format!("{}: {}", refusal.kind, refusal.reason),
    };
    let mut all = format!("{} @{}", e.account, e.time_ms);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all += &format!("\n{name}={value}");
        }
    };
    add("id", e.request_id.map(Into::into));
    add("tenant", e.tenant.map(Into::into));
    add("address", e.address.map(|address| address.to_string()));
    add("user_agent", e.user_agent.map(Into::into));
    add("endpoint", e.endpoint.map(Into::into));
    add("model", e.model.map(Into::into));
    add("prompt", e.prompt.map(Into::into));
    add("system", e.system_prompt.map(Into::into));
    add("system_hash", e.system_prompt_hash.map(Into::into));
    add("tokens", e.prompt_tokens.map(|n| n.to_string()));
    add("max_tokens", e.max_tokens.map(|n| n.to_string()));
    add("status", e.status.map(|n| n.to_string()));
    add("latency_ms", e.latency_ms.map(|n| n.to_string()));
    add("completion", e.completion_tokens.map(|n| n.to_string()));
    add("bytes", e.response_bytes.map(|n| n.to_string()));
    add("refused", e.refused.then(|| "yes".into()));
    add("org", e.org.map(Into::into));
    add("payment", e.payment.map(Into::into));
    add("country", e.country.map(Into::into));
    add("asn", e.asn.map(|n| n.to_string()));
    add("asn_org", e.asn_org.map(Into::into));
    add("ja3", e.ja3.map(Into::into));
    add("ja3s", e.ja3s.map(Into::into));
    add("ja4", e.ja4.map(Into::into));
    add("h2", e.h2.map(Into::into));
    add(
        "headers",
        e.headers.map(|headers| match headers {
            crate::exchange::HeaderNames::Joined(names) => names.to_owned(),
            crate::exchange::HeaderNames::List(names) => names.join(" "),
        }),
    );
    add("label", e.label.map(Into::into));
    all
}

/// The line's own format and `auto` must read the same.
fn check(format: Format, line: &str, expected: Expect) {
    expected.assert_eq(&shown(format, line));
    assert_eq!(shown(Format::Auto, line), shown(format, line), "auto reads it as {format}");
}

fn refused(line: &str, expected: Expect) {
    expected.assert_eq(&shown(Format::Auto, line));
}

#[test]
fn weirs_own_lines_are_read() {
    check(
        Format::Weir,
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
    check(Format::Weir, r#"{"account":"acct-1","time":1795242606.320}"#, expect!["acct-1 @1795242606320"]);
}

#[test]
fn nginx_rich_lines_are_read_and_the_body_is_taken_apart() {
    check(
        Format::NginxRich,
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
            status=200
            latency_ms=6
            completion=212
            bytes=503
            refused=yes
            org=org-lantern
            payment=5f2c9d1be0a47c38
            country=SE
            asn=64501
            asn_org=Example Fibre
            headers=host,user-agent,accept
            label=benign"#]],
    );
    check(
        Format::NginxRich,
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
        Format::NginxBasic,
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
            latency_ms=250
            payment=5f2c9d1be0a47c38
            country=SE"#]],
    );
    check(
        Format::NginxBasic,
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
        Format::Envoy,
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
    assert_eq!(shown(Format::Envoy, &quoted), shown(Format::Envoy, line));
    check(
        Format::Envoy,
        r#"{"start_time": "2026-11-21T06:30:06.320Z", "authorization": "Bearer sk-1", "x_forwarded_for": "junk, 203.0.113.77", "downstream_remote_address": "-", "response_code": "0", "tls_ja3": "-", "x_account_id": "-", "x_model": null}"#,
        expect![[r#"
            sk-1 @1795242606320
            address=203.0.113.77"#]],
    );
}

#[test]
fn glasswallys_events_are_read() {
    check(
        Format::Glasswally,
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
        Format::Glasswally,
        r#"{"account_id":"acct-2","ts":1795242606320,"ip_address":"192.0.2.8","h2_settings_fp":"fp"}"#,
        expect![[r#"
            acct-2 @1795242606320
            address=192.0.2.8
            h2=fp"#]],
    );
}

#[test]
fn bad_json_null_and_42_are_refused() {
    refused("", expect!["INVALID_JSON: the line is not a JSON object"]);
    refused("null", expect!["INVALID_JSON: the line is not a JSON object"]);
    refused("42", expect!["INVALID_JSON: the line is not a JSON object"]);
    refused("[{}]", expect!["INVALID_JSON: the line is not a JSON object"]);
    refused(r#"{"account":"secret""#, expect!["INVALID_JSON: the line is not JSON at column 19"]);
    refused(r#"{"account":"secret"} x"#, expect!["INVALID_JSON: the line is not JSON at column 22"]);
    refused(r#"{"account":secret}"#, expect!["INVALID_JSON: the line is not JSON at column 12"]);
    refused(&"[".repeat(100_000), expect!["INVALID_JSON: the line is not a JSON object"]);
    refused(
        &r#"{"header_order":["#.repeat(10_000),
        expect!["INVALID_JSON: the line is not JSON at column 170000"],
    );
    refused(
        &format!("{{\"header_order\":{}", "[".repeat(100_000)),
        expect!["INVALID_JSON: the line is not JSON at column 143"],
    );
}

#[test]
fn what_every_event_needs_must_be_there() {
    refused("{}", expect!["MISSING_FIELD: field `account` is missing or empty"]);
    refused(r#"{"account":"","time":1}"#, expect!["MISSING_FIELD: field `account` is missing or empty"]);
    refused(
        r#"{"account":"Bearer ","time":1}"#,
        expect!["MISSING_FIELD: field `account` is missing or empty"],
    );
    refused(r#"{"account":"-","time":1}"#, expect!["MISSING_FIELD: field `account` is missing or empty"]);
    refused(r#"{"account":null,"time":1}"#, expect!["MISSING_FIELD: field `account` is missing or empty"]);
    refused(r#"{"account":"a"}"#, expect!["MISSING_FIELD: field `time` is missing or empty"]);
    refused(
        &format!(r#"{{"account":"{}","time":1}}"#, "a".repeat(513)),
        expect!["INVALID_FIELD: field `account` is not an id of at most 512 bytes"],
    );
    expect!["MISSING_FIELD: field `x_account_id` is missing or empty"]
        .assert_eq(&shown(Format::Envoy, r#"{"account":"a","time":1}"#));
}

#[test]
fn a_wrong_type_or_range_is_refused_by_name_and_never_quoted() {
    let with = |field: &str| format!(r#"{{"account":"a","time":1,{field}}}"#);
    refused(&with(r#""ip":"999.1.1.1""#), expect!["INVALID_FIELD: field `ip` is not an IP address"]);
    refused(&with(r#""ip":7"#), expect!["INVALID_FIELD: field `ip` is not a string"]);
    refused(
        &with(r#""tokens":-1"#),
        expect!["INVALID_FIELD: field `tokens` is not a whole number from 0 to 10^12"],
    );
    refused(
        &with(r#""tokens":"many""#),
        expect!["INVALID_FIELD: field `tokens` is not a whole number from 0 to 10^12"],
    );
    refused(
        &with(r#""tokens":1.5"#),
        expect!["INVALID_FIELD: field `tokens` is not a whole number from 0 to 10^12"],
    );
    refused(
        &with(r#""tokens":99999999999999999999"#),
        expect!["INVALID_FIELD: field `tokens` is not a whole number from 0 to 10^12"],
    );
    refused(&with(r#""status":42"#), expect!["INVALID_FIELD: field `status` is not an HTTP status"]);
    refused(
        &with(r#""asn":4294967296"#),
        expect!["INVALID_FIELD: field `asn` is not an autonomous system number"],
    );
    refused(&with(r#""prompt":{"a":1}"#), expect!["INVALID_FIELD: field `prompt` is not a string"]);
    refused(
        &with(r#""header_order":[1]"#),
        expect!["INVALID_FIELD: field `header_order` is not an array of strings"],
    );
    refused(
        r#"{"account":["a"],"time":1}"#,
        expect!["INVALID_FIELD: field `account` is not a string or a whole number"],
    );
    let time = |time: &str| format!(r#"{{"account":"a","time":{time}}}"#);
    for bad in ["-1", "true", "\"yesterday\"", "\"2026-11-21T06:30:06\"", "{}"] {
        assert_eq!(
            shown(Format::Auto, &time(bad)),
            "INVALID_FIELD: field `time` is not a time in RFC 3339, or in seconds or milliseconds since 1970"
        );
    }
}

#[test]
fn optional_fields_may_be_null_empty_or_a_dash() {
    for nothing in ["null", "\"\"", "\"-\"", "\" \""] {
        let fields = ["ip", "model", "org", "tokens", "status", "asn", "ja3", "header_order"];
        let all: String = fields.iter().map(|field| format!(",\"{field}\":{nothing}")).collect();
        check(Format::Weir, &format!(r#"{{"account":"a","time":1{all}}}"#), expect!["a @1000"]);
    }
}

#[test]
fn spellings_of_accounts_addresses_and_numbers_are_understood() {
    let account = |text: &str| shown(Format::Auto, &format!(r#"{{"account":{text},"time":1}}"#));
    assert_eq!(account("\"bearer  x\""), "x @1000");
    assert_eq!(account("\"Basic dTpw\""), "dTpw @1000");
    assert_eq!(account("\"two words\""), "two words @1000");
    assert_eq!(account("42"), "42 @1000");
    let address = |text: &str| fields::parse_address(text).map(|address| address.to_string());
    for text in ["192.0.2.7", "192.0.2.7:443"] {
        assert_eq!(address(text).as_deref(), Some("192.0.2.7"));
    }
    for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443", "2001:db8::1%eth0"] {
        assert_eq!(address(text).as_deref(), Some("2001:db8::1"));
    }
    assert_eq!(address("localhost"), None);
    let line = |field: &str| shown(Format::Auto, &format!(r#"{{"account":"a","time":1,{field}}}"#));
    assert_eq!(line(r#""tokens":"12""#), "a @1000\ntokens=12");
    assert_eq!(line(r#""tokens":12.0"#), "a @1000\ntokens=12");
    assert_eq!(line(r#""asn":"AS64501""#), "a @1000\nasn=64501");
}

#[test]
fn values_of_any_length_and_script_are_read() {
    for value in ["日", "é", "モデル-名前-とても長い", "x", &"ß".repeat(5_000)] {
        let line = format!(
            r#"{{"account_id":"{0}","ts":1,"model":"{0}","system_prompt_hash":"{0}","payment_method_hash":"{0}"}}"#,
            &value[..value.floor_char_boundary(512)]
        );
        assert!(shown(Format::Auto, &line).contains("model="), "{value}");
    }
}

#[test]
fn every_key_is_found_by_its_name() {
    for name in ["account", "h2_settings_fp", "x_payment", "time"] {
        assert_eq!(Key::named(name).map(Key::name), Some(name));
    }
    for name in ["", "a", "accounts", "ACCOUNT", "日本"] {
        assert_eq!(Key::named(name), None);
    }
}

#[test]
fn formats_have_names() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(*format));
    }
    assert_eq!("csv".parse::<Format>(), Err(UnknownFormat));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(line in "\\PC{0,200}") {
        for format in Format::ALL {
            shown(*format, &line);
        }
    }

    #[test]
    fn arbitrary_values_never_panic(entries in prop::collection::vec((0..62usize, value()), 0..20)) {
        let body: Vec<String> = entries.iter().map(|(key, value)| format!("\"{}\":{value}", KEYS[key % KEYS.len()])).collect();
        let line = format!("{{{}}}", body.join(","));
        for format in Format::ALL {
            prop_assert!(!shown(*format, &line).starts_with("INVALID_JSON"), "{}", line);
        }
    }
}

const KEYS: &[&str] = &[
    "account",
    "account_id",
    "x_account_id",
    "time",
    "ts",
    "timestamp",
    "start_time",
    "ip",
    "client_ip",
    "tokens",
    "status",
    "asn",
    "header_order",
    "h2_settings",
    "request_body",
    "request_time",
    "prompt",
    "model",
    "tenant",
];

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
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
