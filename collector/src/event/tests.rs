use super::*;
use crate::format::{Format, Line, Reader};
use expect_test::expect;
use weir_schemas::DlqKind;
use weir_schemas::codec::Record;
use weir_schemas::wire::split;

const NOW_MS: i64 = 1_795_242_700_000;

fn writer(change: impl FnOnce(&mut CollectorConfig)) -> EventWriter {
    let mut config = CollectorConfig::new("/var/log/access.jsonl", "node-1");
    change(&mut config);
    EventWriter::new(
        &config,
        Pseudonymizer::new([1; 32], 2),
        Sealer::new(3, &[4; 32], [5; 32]).unwrap(),
        Arc::new(Wire::new()),
    )
}

const ID: EventId = EventId([5; 16]);

fn write(writer: &mut EventWriter, line: &str) -> Result<Output, Refusal> {
    let mut reader = Reader::new(&Format::Auto, 1 << 20).unwrap();
    let mut written = None;
    reader.read(Line::whole(0, line.as_bytes()), &mut |record| {
        written = Some(match &record.read {
            Ok(exchange) => writer.write(exchange, ID, NOW_MS),
            Err(refusal) => Err(refusal.clone()),
        });
    });
    written.unwrap()
}

fn event(output: &Output) -> Event<'_> {
    Event::decode(split(output.payload.as_deref().unwrap()).unwrap().1).unwrap()
}

fn request(output: &Output) -> Request<'_> {
    match event(output).body {
        Body::Request(request) => request,
        Body::Response(_) => panic!("a line is a request"),
    }
}

const LINE: &str = r#"{"id":"r1","time":1795242606.32,"account":"canary-account","ip":"192.0.2.77","user_agent":"curl","endpoint":"/v1/chat?key=canary-query","model":"atlas-1","prompt":"canary prompt words","system_prompt":"canary preamble","payment":"canary-payment","org":"canary-org","tokens":12,"status":200,"header_order":["host","accept"],"label":"canary-label"}"#;

#[test]
fn a_line_becomes_an_event() {
    let output = write(&mut writer(|_| {}), LINE).unwrap();
    let event = event(&output);
    assert_eq!(output.topic, Topic::Events);
    assert_eq!(output.key, event.account.to_key());
    assert_eq!(output.timestamp_ms, 1_795_242_606_320);
    assert_eq!((event.time_ms, event.observed_ms, event.key_epoch), (1_795_242_606_320, NOW_MS, 2));
    assert_eq!((event.tenant, event.source, event.sample_weight), ("default", SourceKind::Tail, 1));
    assert_eq!(event.event_id, ID);
    assert_eq!(event.request_id, Some(Pseudonymizer::new([1; 32], 2).value(ValueKind::RequestId, b"r1")));
    assert_eq!(event.account, Pseudonymizer::new([1; 32], 2).account("default", "canary-account"));
    let request = request(&output);
    assert_eq!((request.endpoint, request.model), (Some("/v1/chat"), Some("atlas-1")));
    assert!(request.address.is_some() && request.subnet.is_some() && request.payment.is_some());
    assert!(request.org.is_some() && request.preamble.is_some());
    let prompt = request.prompt.unwrap();
    assert_eq!((prompt.words, prompt.text), (3, None));
    expect![[r#"Some(Outcome { status: Some(200), latency_ms: None, completion_tokens: None, bytes: None, refused: false, finish_reason: None, tool_calls: None })"#]]
        .assert_eq(&format!("{:?}", request.outcome));
}

#[test]
fn nothing_raw_is_in_the_payload_and_the_label_is_in_its_header_only() {
    let output = write(&mut writer(|_| {}), LINE).unwrap();
    let payload = output.payload.as_deref().unwrap();
    assert!(!contains(payload, b"canary") && !contains(payload, b"192.0.2"));
    assert!(!contains(&output.key, b"canary"));
    assert_eq!(output.headers, [(LABEL_HEADER, b"canary-label".to_vec())]);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn text_is_kept_when_the_operator_says_so() {
    let output = write(&mut writer(|config| config.keep_text = true), LINE).unwrap();
    assert_eq!(request(&output).prompt.unwrap().text, Some("canary prompt words"));
}

#[test]
fn the_same_line_gives_the_same_bytes() {
    let first = write(&mut writer(|_| {}), LINE).unwrap();
    assert_eq!(write(&mut writer(|_| {}), LINE).unwrap(), first);
    let mut used = writer(|_| {});
    write(&mut used, r#"{"account":"b","time":1,"prompt":"other"}"#).unwrap();
    assert_eq!(write(&mut used, LINE).unwrap(), first);
}

#[test]
fn only_the_account_and_the_time_are_needed() {
    let output = write(&mut writer(|_| {}), r#"{"account":"a","time":1}"#).unwrap();
    assert_eq!((request(&output), event(&output).request_id), (Request::default(), None));
}

#[test]
fn a_time_from_the_future_is_refused() {
    let line = |ms: i64| format!(r#"{{"account":"a","time":{ms}}}"#);
    let mut writer = writer(|_| {});
    assert!(write(&mut writer, &line(NOW_MS + AHEAD_MAX_MS)).is_ok());
    let refusal = write(&mut writer, &line(NOW_MS + AHEAD_MAX_MS + 1)).unwrap_err();
    expect!["FUTURE_TIME: the time is 300 s ahead of this node's clock: check both clocks"]
        .assert_eq(&format!("{}: {}", refusal.kind, refusal.reason));
    assert!(write(&mut writer, r#"{"account":"a","time":"9999-12-31T23:59:59Z"}"#).is_err());
}

#[test]
fn long_values_are_cut_between_characters_and_a_long_tenant_is_not_known() {
    let long = "é".repeat(300);
    let line = format!(
        r#"{{"account":"a","time":1,"model":"{long}","user_agent":"{long}","ja3":"{long}","country":"{long}","label":"{long}"}}"#
    );
    let mut writer = writer(|_| {});
    let output = write(&mut writer, &line).unwrap();
    let request = request(&output);
    let length = |text: Option<&str>| text.unwrap().len();
    assert_eq!([length(request.model), length(request.user_agent), length(request.ja3)], [128, 256, 128]);
    assert_eq!((length(request.country), output.headers[0].1.len()), (16, 128));
    let output = write(&mut writer, &format!(r#"{{"account":"a","time":1,"tenant":"{long}"}}"#)).unwrap();
    assert_eq!(event(&output).tenant, "default");
}

#[test]
fn with_registered_tenants_a_line_of_another_or_of_none_is_refused_and_a_drills_is_not() {
    let named = |tenant: &str| LINE.replacen('{', &format!(r#"{{"tenant":"{tenant}","#), 1);
    let registered = |unnamed: Option<&str>| {
        let ids = ["acme", "north"].map(str::to_owned);
        writer(|config| {
            config.tenants = Tenants::registered(ids, "weir-drill-", unnamed.map(str::to_owned));
        })
    };
    let mut strict = registered(None);
    let mut tenant_of = |line: &str| {
        let written = write(&mut strict, line);
        written.map(|output| (event(&output).tenant.to_owned(), event(&output).account))
    };
    let account = |tenant: &str| Pseudonymizer::new([1; 32], 2).account(tenant, "canary-account");
    for tenant in ["acme", "north", "weir-drill-1f2e3d4c5b6a7988"] {
        assert_eq!(tenant_of(&named(tenant)), Ok((tenant.to_owned(), account(tenant))));
    }
    assert_ne!(account("acme"), account("north"), "one id at two tenants is two accounts");
    for stranger in [
        "other",
        "ACME",
        "acme2",
        "default",
        "../acme",
        "weir-drill-",
        "weir-drill-x",
        "weir-drill-1F2E3D4C5B6A7988",
    ] {
        let refusal = tenant_of(&named(stranger)).unwrap_err();
        assert_eq!(refusal, Refusal::unknown_tenant(), "{stranger}");
        assert!(!refusal.reason.contains(stranger), "{}", refusal.reason);
        assert_eq!(refusal.kind, DlqKind::UnknownTenant);
    }
    for nobody in [LINE.to_owned(), named(""), named("-")] {
        assert_eq!(tenant_of(&nobody), Err(Refusal::no_tenant()), "{nobody}");
    }
    // Nobody is announced of whom there is no event.
    assert_eq!(strict.announcer().take().0.len(), 3);

    let mut allowed = registered(Some("north"));
    assert_eq!(event(&write(&mut allowed, LINE).unwrap()).tenant, "north");
    assert_eq!(write(&mut allowed, &named("other")).unwrap_err(), Refusal::unknown_tenant());
    // What names somebody, and cannot be read, does not name nobody.
    for value in [format!(r#""{}""#, "n".repeat(200)), "{}".into(), "true".into(), "[1]".into()] {
        let line = LINE.replacen('{', &format!(r#"{{"tenant":{value},"#), 1);
        assert_eq!(write(&mut allowed, &line).unwrap_err(), Refusal::unknown_tenant(), "{value}");
    }
}
