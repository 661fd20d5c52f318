//! What gateways are told of accounts, over HTTP and by a real nginx.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::gateway::{answering, answering_with_metrics, ask, header, redis, stands};
use common::{Place, Running, eventually, metric, success, weir};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use weir_schemas::StandingStatus;

const SUSPENDED: &str = "sk-example-mirror-01";
const HONEST: &str = "sk-example-pilot-devops";

/// A run that acts, and answers gateways; and where.
fn enforcing(place: &Place, arguments: &[&str]) -> (Running, String) {
    place.feed_recorded_now();
    place.set_posture("enforce");
    let mut ring = weir(&["ring", "3", "20000", "auto", "--data-dir"]);
    ring.arg(&place.data);
    success(ring);
    answering(place.run(), arguments)
}

#[test]
fn a_campaigns_key_is_refused_while_it_is_suspended_and_an_honest_one_is_not() {
    let place = Place::new();
    let (run, address) = enforcing(&place, &[]);
    let bearer = |key: &str| format!("authorization: Bearer {key}\r\n");
    eventually("the campaign is suspended", || ask(&address, "/auth", &bearer(SUSPENDED)).0 == 403);

    let (status, answer) = ask(&address, "/auth", &bearer(SUSPENDED));
    assert_eq!((status, header(&answer, "x-weir-status")), (403, Some("suspended")));
    let retry_after: u64 = header(&answer, "retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&retry_after), "{answer}");
    assert!(header(&answer, "x-weir-stale-ms").unwrap().parse::<u64>().unwrap() < 60_000, "{answer}");
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["status"], &body["passes"]), (&"suspended".into(), &false.into()));

    // However the client writes its key, and whichever other key it sends along.
    for headers in [
        format!("x-api-key: {SUSPENDED}\r\n"),
        format!("Authorization: bearer   {SUSPENDED}\r\n"),
        format!("Authorization: Bearer {HONEST}\r\nX-Api-Key: {SUSPENDED}\r\n"),
        format!("Authorization: Bearer {HONEST}\r\nAuthorization: Bearer {SUSPENDED}\r\n"),
    ] {
        assert_eq!(ask(&address, "/auth", &headers).0, 403, "{headers}");
    }
    for headers in [bearer(HONEST), bearer("nobody"), String::new()] {
        let (status, answer) = ask(&address, "/auth", &headers);
        assert_eq!((status, header(&answer, "x-weir-status")), (200, Some("ok")), "{headers}");
        assert_eq!(header(&answer, "x-weir-score"), None, "nothing is known, and that is not 0");
        assert!(answer.contains(r#""score":null"#) && answer.contains(r#""families":null"#), "{answer}");
    }

    // By its pseudonym, for people: the action that is told is the one in the enforcer's files.
    let lines = place.lines_of("enforcement_actions.jsonl");
    let action =
        lines.iter().find(|line| line["account_raw"] == SUSPENDED && line["action"] == "SUSPEND").unwrap();
    let path = format!("/v1/accounts/{}", action["account"].as_str().unwrap());
    let (status, answer) = ask(&address, &path, "");
    assert_eq!((status, header(&answer, "x-weir-action-id")), (200, action["action_id"].as_str()));
    assert_eq!(header(&answer, "x-weir-verdict-id"), action["verdict_id"].as_str());
    // And what it rests on is what the verdict's line says.
    let signals = action["detectors"].as_array().unwrap();
    let of = |family: &str| -> i64 {
        let signals = signals.iter().filter(|signal| signal["family"] == family);
        signals.map(|signal| signal["millinats"].as_i64().unwrap()).sum()
    };
    let told: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let families: Vec<&str> =
        told["families"].as_array().unwrap().iter().map(|family| family.as_str().unwrap()).collect();
    assert_eq!(told["score"], action["score"], "{answer}");
    assert_eq!(header(&answer, "x-weir-score"), Some(&*action["score"].to_string()), "{answer}");
    assert_eq!(header(&answer, "x-weir-families"), Some(&*families.join(",")), "{answer}");
    assert!(families.len() > 1 && families.iter().all(|family| of(family) > 0), "{answer}");
    assert!(families.is_sorted_by(|one, next| of(one) >= of(next)), "the strongest first: {answer}");
    let speaking: BTreeSet<&str> = signals.iter().filter_map(|signal| signal["family"].as_str()).collect();
    assert!(speaking.into_iter().all(|family| of(family) <= 0 || families.contains(&family)), "{answer}");
    assert_eq!(ask(&address, &format!("/v1/accounts/{SUSPENDED}"), "").0, 400);

    eventually("its time is over", || ask(&address, "/auth", &bearer(SUSPENDED)).0 == 200);
    let (_, answer) = ask(&address, "/auth", &bearer(SUSPENDED));
    // Where an epoch ended between the verdicts, it was slowed down before it was suspended, and that lasts
    // longer.
    let status = header(&answer, "x-weir-status");
    assert!(matches!(status, Some("watch" | "rate_limited")), "{answer}");
    assert_eq!(header(&answer, "retry-after"), None);
    run.stop();
}

#[test]
fn a_limited_account_has_its_burst_and_then_is_told_when_to_come_back() {
    let place = Place::new();
    stands(&place, &place.keys_of("collector"), "sk-slow", StandingStatus::Limited);
    std::fs::write(&place.feed, "").unwrap();
    let (run, address) =
        answering(place.run(), &["--decide-limit-per-minute", "2", "--decide-limit-burst", "2"]);
    let key = "x-api-key: sk-slow\r\n";
    let limited = |answer: &str| header(answer, "x-weir-status") == Some("rate_limited");
    // Requests of others use nothing up.
    eventually("all is read", || header(&ask(&address, "/auth", "").1, "x-weir-stale-ms").is_some());
    let answers: Vec<(u16, String)> = (0..4).map(|_| ask(&address, "/auth", key)).collect();
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert!(answers.iter().all(|(_, answer)| limited(answer)), "{answers:?}");
    let retry_after: u64 = header(&answers[3].1, "retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&retry_after), "{}", answers[3].1);
    // nginx knows 403 only; the header says which it is.
    let (status, answer) = ask(&address, "/auth/nginx", key);
    assert_eq!((status, limited(&answer)), (403, true));
    run.stop();
}

#[test]
fn a_key_is_found_however_it_is_padded_and_whatever_its_bytes_and_its_tenant_is_one() {
    let place = Place::new();
    let keys = place.keys_of("collector");
    for (key, status) in [
        (SUSPENDED, StandingStatus::Suspended),
        ("sk-schl\u{fc}ssel", StandingStatus::Suspended),
        ("sk-slow", StandingStatus::Limited),
    ] {
        stands(&place, &keys, key, status);
    }
    std::fs::write(&place.feed, "").unwrap();
    let limits = ["--decide-limit-per-minute", "1", "--decide-limit-burst", "1"];
    let (run, address) =
        answering(place.run(), &[&limits[..], &["--decide-tenant-header", "X-Tenant"]].concat());
    eventually("all is read", || header(&ask(&address, "/auth", "").1, "x-weir-stale-ms").is_some());
    let status = |headers: &str| ask(&address, "/auth", headers).0;
    assert_eq!(status(&format!("authorization: Bearer{}{SUSPENDED}\r\n", " ".repeat(17_000))), 403);
    assert_eq!(status("x-api-key: sk-schl\u{fc}ssel\r\n"), 403);
    // The same key twice is one key, and one request.
    assert_eq!(status("authorization: Bearer sk-slow\r\nx-api-key: sk-slow\r\n"), 200);
    assert_eq!(status("x-api-key: sk-slow\r\n"), 429);

    let of_tenant = |tenants: &str| ask(&address, "/auth", &format!("x-api-key: {SUSPENDED}\r\n{tenants}"));
    for (tenants, status) in [
        ("x-tenant: default\r\n", 403),
        ("x-tenant: -\r\n", 403),
        ("x-tenant:\r\n", 403),
        ("x-tenant: other\r\n", 200),
        ("x-tenant: \u{f6}ther\r\n", 200),
        ("x-tenant: other\r\nx-tenant: default\r\n", 400),
        ("x-tenant: other, default\r\n", 400),
    ] {
        let (told, answer) = of_tenant(tenants);
        assert_eq!(told, status, "{tenants}");
        let is_refused = header(&answer, "x-weir-status") == Some("refused");
        assert_eq!(is_refused, status == 400, "{answer}");
    }
    run.stop();
}

/// Frames of HTTP/2 until the peer ends, by their types.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [high, middle, low, kind, ..] = *bytes {
        kinds.push(kind);
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    kinds
}

#[test]
fn a_run_that_is_stopped_tells_its_gateways_to_ask_no_more() {
    const GOAWAY: u8 = 7;
    let place = Place::new();
    std::fs::write(&place.feed, "").unwrap();
    let (run, address) = answering(place.run(), &[]);
    let mut gateway = TcpStream::connect(&address).unwrap();
    // The preface, and no settings.
    gateway.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut told = vec![0; 9];
    gateway.read_exact(&mut told).unwrap();
    run.stop();
    gateway.read_to_end(&mut told).unwrap();
    assert!(frames(&told).contains(&GOAWAY), "{told:?}");
}

/// nginx with the shipped snippet before a model that answers everybody.
struct Nginx(Running, String);

fn nginx(place: &Path, decide: &str) -> Option<Nginx> {
    let binary = Path::new("/usr/sbin/nginx");
    if !binary.exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "nginx is not installed, and with CI set that is a failure"
        );
        eprintln!("skipped: nginx is not installed");
        return None;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let user = if is_root { "user root;" } else { "" };
    let snippet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nginx/weir-decide.conf");
    let dir = place.display();
    let conf = format!(
        "{user} daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off;\n\
         client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;\n\
         uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
         upstream weir_decide {{ server {decide}; keepalive 8; }}\n\
         server {{ listen {address}; include {};\n\
         location / {{ auth_request /weir-decide;\n\
         auth_request_set $weir_status $upstream_http_x_weir_status;\n\
         auth_request_set $weir_retry_after $upstream_http_retry_after;\n\
         error_page 403 = @weir_refused; try_files /none @model; }}\n\
         location @model {{ return 200 'the model\\n'; }} }} }}\n",
        snippet.display()
    );
    let file = place.join("nginx.conf");
    std::fs::write(&file, conf).unwrap();
    let mut command = Command::new(binary);
    command
        .arg("-p")
        .arg(place)
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg(place.join("error.log"))
        .stdin(Stdio::null());
    let running = Running::start(command);
    eventually("nginx listens", || TcpStream::connect(&address).is_ok());
    Some(Nginx(running, address))
}

#[test]
fn a_real_nginx_refuses_the_suspended_lets_the_others_pass_and_all_of_them_when_nobody_answers() {
    let place = Place::new();
    let (run, decide) = enforcing(&place, &[]);
    let dir = place.directory.path().join("nginx");
    std::fs::create_dir(&dir).unwrap();
    let Some(Nginx(nginx, gateway)) = nginx(&dir, &decide) else { return };
    let request = |key: &str| ask(&gateway, "/v1/chat", &format!("authorization: Bearer {key}\r\n"));
    eventually("the campaign is refused at the gateway", || request(SUSPENDED).0 == 403);
    let (_, answer) = request(SUSPENDED);
    assert!(header(&answer, "retry-after").is_some(), "{answer}");
    assert!(answer.contains("This key is suspended."), "{answer}");
    let (status, answer) = request(HONEST);
    assert!(status == 200 && answer.ends_with("the model\n"), "{answer}");
    eventually("it passes again", || request(SUSPENDED).0 == 200);
    // The shipped snippet fails open.
    run.kill();
    assert_eq!(request(HONEST).0, 200);
    nginx.stop();
}

#[test]
fn a_real_nginx_tells_clients_why_they_are_refused_and_blames_no_key_for_what_weir_does_not_know() {
    let place = Place::new();
    let tenants = place.directory.path().join("tenants");
    std::fs::create_dir(&tenants).unwrap();
    std::fs::write(tenants.join("acme.toml"), "failure_mode = \"closed\"").unwrap();
    let mut decide = weir(&["decide", "--brokers", "127.0.0.1:1", "--decide-tenant-header", "X-Tenant"]);
    decide.arg("--keys-dir").arg(place.keys_of("collector")).arg("--tenants-dir").arg(&tenants);
    let (decide, address) = answering(decide, &[]);
    let dir = place.directory.path().join("nginx");
    std::fs::create_dir(&dir).unwrap();
    let Some(Nginx(nginx, gateway)) = nginx(&dir, &address) else { return };
    let keys = (0..65).map(|number| format!("k{number}")).collect::<Vec<_>>().join(",");
    for (key, tenant, status, message) in [
        (HONEST, "x-tenant: acme\r\n", 503, "Requests cannot be let through now. Try again later."),
        (&*keys, "x-tenant: acme\r\n", 400, "The request is of too many keys or tenants."),
        (HONEST, "x-tenant: stranger\r\n", 403, "The tenant of the request is not registered here."),
        (HONEST, "", 403, "The request names no tenant."),
    ] {
        let (told, answer) = ask(&gateway, "/v1/chat", &format!("{tenant}x-api-key: {key}\r\n"));
        let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((told, &body["error"]["message"]), (status, &message.into()), "{answer}");
    }
    nginx.stop();
    decide.kill();
}

/// Requests a minute that a limited account may make, and at once after a pause.
const SHARED_LIMIT: (u32, u32) = (3_000, 50);

#[test]
fn three_servers_that_share_a_bucket_let_pass_what_one_would() {
    let places = [Place::new(), Place::new(), Place::new()];
    let Some((redis, redis_address)) = redis(&places[0]) else { return };
    let (limit, burst) = (SHARED_LIMIT.0.to_string(), SHARED_LIMIT.1.to_string());
    let servers: Vec<(Running, String, String)> = places
        .iter()
        .map(|place| {
            // One account is one pseudonym at all of them.
            stands(place, &places[0].keys_of("collector"), "sk-slow", StandingStatus::Limited);
            std::fs::write(&place.feed, "").unwrap();
            let mut run = weir(&["run", "--node", "test", "--metrics-addr", "127.0.0.1:0", "--tail"]);
            run.arg(&place.feed).arg("--data-dir").arg(&place.data).arg("--output-dir").arg(&place.output);
            run.arg("--keys-dir").arg(&places[0].keys);
            let flags = ["--decide-redis", &redis_address, "--decide-limit-per-minute", &limit];
            run.args(flags).args(["--decide-limit-burst", &burst]);
            let (run, address, metrics) = answering_with_metrics(run);
            eventually("all is read", || header(&ask(&address, "/auth", "").1, "x-weir-stale-ms").is_some());
            (run, address, metrics)
        })
        .collect();

    let (began, asks_for) = (Instant::now(), Duration::from_secs(6));
    let threads: Vec<_> = servers
        .iter()
        .map(|(_, address, _)| {
            let address = address.clone();
            std::thread::spawn(move || {
                let (mut passed, mut refused, mut gap_max, mut last) = (0, 0, Duration::ZERO, began);
                while began.elapsed() < asks_for {
                    match ask(&address, "/auth", "x-api-key: sk-slow\r\n").0 {
                        200 => passed += 1,
                        429 => refused += 1,
                        status => panic!("{status}"),
                    }
                    gap_max = gap_max.max(last.elapsed());
                    last = Instant::now();
                }
                (passed, refused, gap_max)
            })
        })
        .collect();
    let of_each: Vec<(u32, u32, Duration)> =
        threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let of_limit =
        |time: Duration| f64::from(SHARED_LIMIT.1) + f64::from(SHARED_LIMIT.0) / 60.0 * time.as_secs_f64();
    let most = of_limit(began.elapsed());
    let passed: u32 = of_each.iter().map(|(passed, ..)| passed).sum();
    assert!(f64::from(passed) <= most * 1.01 + 1.0, "{passed} passed, {most} may: {of_each:?}");
    // A machine that stood still for long let the bucket overflow, and says nothing of what is missing. One
    // that stood still at the end left in it what had come meanwhile.
    let has_asked_always =
        of_each.iter().any(|(_, refused, gap_max)| *refused > 0 && gap_max.as_millis() < 500);
    let gap_max = of_each.iter().map(|(.., gap_max)| *gap_max).max().unwrap_or_default();
    let least = of_limit(asks_for.saturating_sub(gap_max));
    assert!(
        !has_asked_always || f64::from(passed) >= least * 0.99 - 1.0,
        "{passed} passed, {least} must: {of_each:?}"
    );

    // Without Redis each counts for itself, and says so.
    redis.kill();
    for (_, address, metrics) in &servers {
        eventually("it counts for itself", || {
            let status = ask(address, "/auth", "x-api-key: sk-slow\r\n").0;
            assert!(matches!(status, 200 | 429), "{status}");
            metric(metrics, "weir_shared_bucket_failures_total") > 0
        });
    }
    for (run, ..) in servers {
        run.stop();
    }
}

/// What gateways are told by a server that never reached the log.
fn told_without_a_log(failure_mode: &str) -> (u16, Option<String>) {
    let place = Place::new();
    // Nobody listens there, and nobody will.
    let mut decide = weir(&["decide", "--brokers", "127.0.0.1:1", "--decide-failure-mode", failure_mode]);
    decide.arg("--keys-dir").arg(place.keys_of("collector"));
    let (decide, address) = answering(decide, &[]);
    let (status, answer) = ask(&address, "/auth", "x-api-key: anybody\r\n");
    decide.kill();
    (status, header(&answer, "x-weir-status").map(String::from))
}

#[test]
fn a_server_that_knows_nothing_lets_pass_everybody_or_nobody_as_it_was_told() {
    assert_eq!(told_without_a_log("open"), (200, Some("ok".into())));
    assert_eq!(told_without_a_log("closed"), (503, Some("unknown".into())));
}
