//! What gateways are told where there is a registry of tenants: each tenant by its own terms, of its own
//! accounts, and strangers nothing.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::gateway::{answering, answering_with_metrics, ask, header, stands_as};
use common::{Place, Running, eventually, metric, success, text, weir};
use std::path::PathBuf;
use weir_schemas::{Standing, StandingStatus};

const HEADER: [&str; 2] = ["--decide-tenant-header", "X-Tenant"];

/// A registry with these files.
fn registry(place: &Place, files: &[(&str, &str)]) -> PathBuf {
    let directory = place.directory.path().join("tenants");
    std::fs::create_dir(&directory).unwrap();
    for (id, text) in files {
        std::fs::write(directory.join(format!("{id}.toml")), text).unwrap();
    }
    directory
}

/// Status, and what is told of the account, where a request of this tenant shows this key.
fn told(address: &str, path: &str, tenant: Option<&str>, key: &str) -> (u16, String) {
    let tenant = tenant.map(|tenant| format!("x-tenant: {tenant}\r\n")).unwrap_or_default();
    let (status, answer) = ask(address, path, &format!("{tenant}x-api-key: {key}\r\n"));
    (status, header(&answer, "x-weir-status").unwrap_or_default().to_owned())
}

fn answers(metrics: &str, kind: &str) -> u64 {
    metric(metrics, &format!("weir_gateway_answers_total{{kind=\"{kind}\",transport=\"http\"}}"))
}

#[test]
fn while_nothing_is_known_each_tenant_is_answered_as_it_chose_and_a_stranger_never_passes() {
    let place = Place::new();
    let files = [("shut", "failure_mode = \"closed\""), ("wide", "failure_mode = \"open\""), ("plain", "")];
    let directory = registry(&place, &files);
    for (mode, plain) in [("open", (200, "ok")), ("closed", (503, "unknown"))] {
        // Nobody listens there, and nobody will.
        let mut decide = weir(&["decide", "--brokers", "127.0.0.1:1", "--decide-failure-mode", mode]);
        decide.args(HEADER).arg("--tenants-dir").arg(&directory).args(["--metrics-addr", "127.0.0.1:0"]);
        decide.arg("--keys-dir").arg(place.keys_of("collector"));
        let (decide, address, metrics) = answering_with_metrics(decide);
        let of = |path: &str, tenant: Option<&str>| told(&address, path, tenant, "sk-anybody");
        assert_eq!(of("/auth", Some("shut")), (503, "unknown".into()), "{mode}");
        assert_eq!(of("/auth", Some("wide")), (200, "ok".into()), "{mode}");
        assert_eq!(of("/auth", Some("plain")), (plain.0, plain.1.into()), "{mode}");
        for path in ["/auth", "/auth/nginx"] {
            for stranger in ["Shut", "wide.toml", "../wide", "default", "weir-drill-1"] {
                assert_eq!(of(path, Some(stranger)), (403, "unknown_tenant".into()), "{stranger} {mode}");
            }
            for nobody in [None, Some(""), Some("-")] {
                assert_eq!(of(path, nobody), (403, "no_tenant".into()), "{nobody:?} {mode}");
            }
        }
        assert_eq!(of("/auth", Some("wide, shut")), (400, "refused".into()));
        // Nor does a request pass that shows no key, where its tenant is a stranger.
        let (status, answer) = ask(&address, "/auth", "x-tenant: stranger\r\n");
        assert_eq!(status, 403, "{answer}");
        let body = "{\"error\":\"the tenant of the request is not registered here\"}\n";
        assert_eq!(answer.split("\r\n\r\n").nth(1), Some(body));
        assert_eq!(
            ["unknown_tenant", "no_tenant", "refused"].map(|kind| answers(&metrics, kind)),
            [11, 6, 1]
        );
        let passed = 1 + u64::from(mode == "open");
        assert_eq!((answers(&metrics, "passed"), answers(&metrics, "unknown")), (passed, 3 - passed));
        decide.kill();
    }
}

/// A run whose gateways name their tenant, that knows how the same key stands at two of them; their
/// pseudonyms.
fn two_tenants(place: &Place, arguments: &[&str]) -> (Running, String, [String; 2]) {
    let keys = place.keys_of("collector");
    let stands = |tenant: &str, status| {
        let standing = Standing { tenant: tenant.into(), status, ..Standing::default() };
        stands_as(place, &keys, "sk-same", &standing).to_string()
    };
    let accounts = [stands("acme", StandingStatus::Suspended), stands("north", StandingStatus::Limited)];
    let files = [("acme", ""), ("north", "limit_per_minute = 1\nlimit_burst = 1"), ("third", "")];
    let directory = registry(place, &files);
    std::fs::write(&place.feed, "").unwrap();
    let mut run = place.run();
    run.arg("--tenants-dir").arg(directory).args(["--decide-limit-burst", "3"]);
    let (run, address) = answering(run, arguments);
    eventually("all is read", || {
        let (_, answer) = ask(&address, "/auth", "x-tenant: third\r\nx-api-key: sk-other\r\n");
        header(&answer, "x-weir-stale-ms").is_some()
    });
    (run, address, accounts)
}

#[test]
fn a_tenant_is_told_of_its_own_accounts_only_by_key_and_by_pseudonym() {
    let place = Place::new();
    let (run, address, [of_acme, of_north]) = two_tenants(&place, &HEADER);
    assert_ne!(of_acme, of_north, "one key at two tenants is two accounts");
    let by_key = |tenant: &str| told(&address, "/auth", Some(tenant), "sk-same");
    assert_eq!(by_key("acme"), (403, "suspended".into()));
    assert_eq!(by_key("north"), (200, "rate_limited".into()));
    assert_eq!(by_key("north"), (429, "rate_limited".into()), "its own burst is one, and the others' three");
    assert_eq!(by_key("third"), (200, "ok".into()));
    assert_eq!(by_key("stranger"), (403, "unknown_tenant".into()));

    let look = |tenant: &str, account: &str| {
        ask(&address, &format!("/v1/accounts/{account}"), &format!("x-tenant: {tenant}\r\n"))
    };
    for (tenant, own, status) in
        [("acme", &of_acme, "suspended"), ("north", &of_north, "rate_limited"), ("third", &of_acme, "ok")]
    {
        let (code, answer) = look(tenant, own);
        assert_eq!((code, header(&answer, "x-weir-status")), (200, Some(status)), "{tenant}: {answer}");
        assert_eq!(header(&answer, "x-weir-action-id").is_some(), tenant != "third", "{answer}");
    }
    // Of another tenant's account there is no more to be told than of one that is nobody's.
    let body = |account: &str| {
        let (code, answer) = look("acme", account);
        let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let names: Vec<String> =
            answer.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect();
        (code, body["status"].clone(), body["passes"].clone(), body["since_ms"].clone(), names)
    };
    assert_eq!(body(&of_north), body("00000000000000000000000000000000"));
    for (headers, status) in [("", "no_tenant"), ("x-tenant: stranger\r\n", "unknown_tenant")] {
        let (code, answer) = ask(&address, &format!("/v1/accounts/{of_acme}"), headers);
        assert_eq!((code, header(&answer, "x-weir-status")), (403, Some(status)), "{answer}");
        assert!(!answer.contains("suspended"), "{answer}");
    }
    run.stop();
}

#[test]
fn who_names_no_tenant_is_of_the_one_that_the_operator_says() {
    let place = Place::new();
    let (run, address, [of_acme, of_north]) = two_tenants(&place, &["--tenant", "acme"]);
    // No header is trusted: what the client says makes no difference.
    for tenant in [None, Some("north"), Some("stranger")] {
        assert_eq!(told(&address, "/auth", tenant, "sk-same"), (403, "suspended".into()), "{tenant:?}");
    }
    let look = |account: &str| {
        let (_, answer) = ask(&address, &format!("/v1/accounts/{account}"), "");
        header(&answer, "x-weir-status").unwrap().to_owned()
    };
    assert_eq!((look(&of_acme), look(&of_north)), ("suspended".into(), "ok".into()));
    run.stop();
}

#[test]
fn lines_of_strangers_become_dead_letters_that_are_counted_and_no_events() {
    let place = Place::new();
    let directory = registry(&place, &[("acme", ""), ("north", "")]);
    let line = |number: u32, tenant: &str| {
        let time = 1_793_491_200 + number;
        let tenant = if tenant.is_empty() { String::new() } else { format!(r#""tenant":"{tenant}","#) };
        format!(
            "{{{tenant}\"id\":\"r{number}\",\"time\":{time},\"account\":\"sk-same\",\"prompt\":\"hello\"}}\n"
        )
    };
    let tenants = ["acme", "north", "stranger", "acme", "", "weir-drill-1f2e3d4c5b6a7988", "ACME"];
    let lines = (0..).zip(tenants).map(|(number, tenant)| line(number, tenant));
    std::fs::write(&place.feed, lines.collect::<String>()).unwrap();
    let mut run = place.run_to_idle();
    run.arg("--tenants-dir").arg(&directory);
    success(run);

    let letters = |arguments: &[&str]| {
        let mut list = weir(&["dlq", "list", "--data-dir"]);
        list.arg(&place.data).args(arguments);
        text(&success(list).stdout)
    };
    let list = letters(&["--kind", "UNKNOWN_TENANT"]);
    assert!(list.ends_with("3 of 3 letters\n"), "{list}");
    assert_eq!(list.matches("names no tenant that is registered").count(), 2, "{list}");
    assert_eq!(list.matches("with tenants.dir every line names its tenant").count(), 1, "{list}");
    assert!(!list.contains("stranger") && !list.contains("ACME"), "{list}");
    assert!(letters(&[]).ends_with("3 of 3 letters\n"));
    let report = place.replay(&["--as-recorded"]);
    let counted = (report.balances().number("judged"), report.number("dlq"));
    assert_eq!(counted, (4, 3), "what is of nobody was never an event");
}

#[test]
fn a_registry_is_checked_by_a_command_before_a_process_starts_with_it() {
    let place = Place::new();
    let files = [
        ("acme", "limit_burst = 1_0\nfailure_mode = \"closed\""),
        ("x", "id = \"north-2\"\nlimit_per_minute = 60"),
        ("south", ""),
    ];
    let directory = registry(&place, &files);
    let check = || weir(&["tenants", "check"]).arg(&directory).output().unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(0));
    let shown = "acme     failure_mode = \"closed\", limit_burst = 10\nnorth-2  limit_per_minute = 60\nsouth\n3 tenants\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), shown);
    std::fs::write(directory.join("notes.txt"), "").unwrap();
    let output = check();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let reason = String::from_utf8(output.stderr).unwrap();
    assert!(
        reason.contains("notes.txt is no tenant's file: in tenants.dir only files ID.toml may stand"),
        "{reason}"
    );
}

#[test]
fn a_raw_key_of_no_registered_tenant_is_refused_and_protects_nobody() {
    let place = Place::new();
    let directory = registry(&place, &[("acme", "")]);
    let protect = |tenant: &str| {
        let mut command = weir(&["protect", "add", "key/sk-anybody", "--data-dir"]);
        command.arg(&place.data).env("WEIR_TENANTS_DIR", &directory).env("WEIR_TENANT", tenant);
        let output = command.output().unwrap();
        (output.status.success(), text(&output.stderr))
    };
    // Nobody is of the tenant that is there when none is named.
    let (is_done, told) = protect("default");
    assert!(!is_done && told.contains("the registry has nobody of that name"), "{told}");
    let (_, told) = protect("acme");
    assert!(!told.contains("the registry has nobody of that name"), "{told}");
}

#[test]
fn a_registry_that_is_none_refuses_the_start_with_a_sentence() {
    let place = Place::new();
    let directory = registry(&place, &[("acme", "failure_mode = \"closed\""), ("north", "")]);
    let refused = |arguments: &[&str]| {
        let mut decide = weir(&["decide", "--brokers", "127.0.0.1:1", "--decide-addr", "127.0.0.1:0"]);
        decide.arg("--keys-dir").arg(place.keys_of("collector")).arg("--tenants-dir").arg(&directory);
        let output = decide.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap().replace(&directory.display().to_string(), "DIR")
    };
    let nobody = refused(&[]);
    assert!(nobody.contains("there is no way to name one: give decide.tenant_header"), "{nobody}");
    let anonymous = refused(&["--tenants-allow-anonymous"]);
    assert!(anonymous.contains("write default.toml there (it may be empty)"), "{anonymous}");
    std::fs::write(directory.join("north.toml"), "failure_mode = \"open\"\nfailuremode = \"open\"\n")
        .unwrap();
    let bad = refused(&HEADER);
    assert!(bad.contains("DIR/north.toml:2:1: unknown field `failuremode`"), "{bad}");
}

#[test]
fn a_changed_registry_is_followed_by_gateways_and_collectors_and_a_bad_one_changes_nothing() {
    let place = Place::new();
    let directory = registry(&place, &[("acme", ""), ("north", "")]);
    std::fs::write(&place.feed, "").unwrap();
    let mut run = place.run();
    run.arg("--tenants-dir").arg(&directory).args(HEADER).args(["--metrics-addr", "127.0.0.1:0"]);
    let (run, address, metrics) = answering_with_metrics(run);
    let told_of = |tenant: &str| told(&address, "/auth", Some(tenant), "sk-same");
    let (passes, stranger) = ((200, "ok".to_owned()), (403, "unknown_tenant".to_owned()));
    let published = || metric(&metrics, "weir_collector_events_published_total");
    let refused = || metric(&metrics, "weir_collector_lines_rejected_total{kind=\"UNKNOWN_TENANT\"}");
    let mut number = 0;
    let mut log = |tenant: &str| {
        number += 1;
        let line = format!(
            "{{\"tenant\":\"{tenant}\",\"id\":\"r{number}\",\"time\":{},\"account\":\"sk-same\",\"prompt\":\"hello\"}}\n",
            1_793_491_200 + number
        );
        let mut feed = std::fs::OpenOptions::new().append(true).open(&place.feed).unwrap();
        std::io::Write::write_all(&mut feed, line.as_bytes()).unwrap();
    };
    assert_eq!(["acme", "north", "south"].map(told_of), [passes.clone(), passes.clone(), stranger.clone()]);
    assert_eq!(metric(&metrics, "weir_tenants_registered"), 2);
    log("south");
    eventually("a stranger's line is refused", || refused() == 1);

    std::fs::remove_file(directory.join("north.toml")).unwrap();
    std::fs::write(directory.join("south.toml"), "").unwrap();
    eventually("the change is taken", || metric(&metrics, "weir_tenants_changes_taken_total") == 1);
    assert_eq!(["acme", "north", "south"].map(told_of), [passes.clone(), stranger.clone(), passes.clone()]);
    log("south");
    eventually("whose tenant was added is an event", || published() == 1);
    log("north");
    eventually("whose tenant is gone is none", || refused() == 2);

    std::fs::write(directory.join("north.toml"), "").unwrap();
    std::fs::write(directory.join("acme.toml"), "failuremode = \"open\"").unwrap();
    eventually("it is told that it cannot be used", || metric(&metrics, "weir_tenants_refused") == 1);
    assert_eq!(["acme", "north", "south"].map(told_of), [passes.clone(), stranger, passes.clone()]);
    log("north");
    eventually("nothing of it is taken", || refused() == 3);
    assert_eq!(metric(&metrics, "weir_tenants_changes_taken_total"), 1);

    std::fs::write(directory.join("acme.toml"), "").unwrap();
    eventually("it is taken once it is mended", || metric(&metrics, "weir_tenants_refused") == 0);
    assert_eq!(["acme", "north", "south"].map(told_of), [passes.clone(), passes.clone(), passes]);
    log("north");
    eventually("by collectors too", || published() == 2);
    run.stop();
}
