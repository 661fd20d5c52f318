//! How fast budgets burn, as a Prometheus tells it. `cargo xtask alerts` asks a real one.

#![allow(clippy::unwrap_used)]

mod common;

use common::{text, weir};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Output;

const KEPT: i32 = 0;
const ERROR: i32 = 1;
const BURNING: i32 = 3;
const UNMEASURED: i32 = 4;

/// Asks a server that answers like this.
fn asked(answer: impl Fn(&str, &str) -> String + Send + 'static, format: &str) -> Output {
    weir(&["slo", "--prometheus", &serve(answer), "--format", format]).output().unwrap()
}

/// URL of a server that answers each question by what it is about: the part of a metric's name, and the
/// window.
fn serve(answer: impl Fn(&str, &str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut request).unwrap() > 2 {}
            assert!(request.starts_with("GET /api/v1/query?query="), "{request}");
            let metrics = ["event_to_verdict", "decision_to_effect", "gateway_answers"];
            let metric = metrics.into_iter().find(|metric| request.contains(metric)).unwrap();
            let windows = ["5m", "30m", "1h", "6h", "30d"];
            let is_asked = |window: &&str| {
                request.contains(&format!("%5B{window}%5D")) || request.contains(&format!("[{window}]"))
            };
            let body = answer(metric, windows.into_iter().find(is_asked).unwrap());
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    url
}

fn value(value: &str) -> String {
    format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1800000000.1,"{value}"]}}]}}}}"#
    )
}

const NOTHING: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

/// What is said of each objective.
fn told(output: &Output, code: i32) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["objectives"].as_array().unwrap().clone()
}

#[test]
fn budgets_that_last_are_kept_and_what_was_not_measured_is_said_to_be_so() {
    let well = |metric: &str, window: &str| match (metric, window) {
        // No gateway has asked; no effect was carried out.
        ("gateway_answers", _) => NOTHING.to_owned(),
        ("decision_to_effect", _) => value("NaN"),
        (_, "30d") => value("0.0025"),
        _ => value("0.001"),
    };
    let [verdicts, effects, gateways] = &told(&asked(well, "json"), KEPT)[..] else { panic!() };
    assert_eq!(
        (&verdicts["name"], &verdicts["burns"], &verdicts["bad_5m"]),
        (&"verdicts".into(), &Value::Null, &0.001.into())
    );
    assert!((verdicts["budget_left"].as_f64().unwrap() - 0.75).abs() < 1e-9, "{verdicts}");
    assert_eq!(
        (&effects["name"], &effects["bad_6h"], &effects["budget_left"]),
        (&"effects".into(), &Value::Null, &Value::Null)
    );
    assert_eq!(gateways["name"], "gateways");
    let shown = text(&asked(well, "text").stdout);
    let expected = "verdicts  99 of 100 verdicts within 5 s of their event
          burn rate 5m 0.1, 30m 0.1, 1h 0.1, 6h 0.1
          budget    75 % of 30d left
          result    kept
effects   99 of 100 effects within 5 s of the decision on them
          burn rate 5m -, 30m -, 1h -, 6h -
          budget    not known
          result    nothing was measured
";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn a_budget_that_burns_says_so_by_its_windows() {
    let fast = |metric: &str, window: &str| match (metric, window) {
        ("event_to_verdict", "5m" | "1h") => value("0.2"),
        ("decision_to_effect", "30m" | "6h") => value("0.07"),
        // One that was bad and is well again.
        ("gateway_answers", "1h" | "6h") => value("0.5"),
        _ => value("0"),
    };
    let burns: Vec<Value> =
        told(&asked(fast, "json"), BURNING).iter().map(|of| of["burns"].clone()).collect();
    assert_eq!(burns, ["fast".into(), "slow".into(), Value::Null]);
    let shown = text(&asked(fast, "text").stdout);
    assert!(shown.contains("burn rate 5m 20.0, 30m 0.0, 1h 20.0, 6h 0.0\n"), "{shown}");
    assert!(
        shown.contains("BURNS: gone in two days\n") && shown.contains("BURNS: gone in five days\n"),
        "{shown}"
    );
}

#[test]
fn a_budget_of_which_more_than_all_is_gone_is_not_kept_however_well_it_goes_now() {
    let spent = |_: &str, window: &str| if window == "30d" { value("0.02") } else { value("0") };
    let of = told(&asked(spent, "json"), BURNING);
    assert_eq!((&of[0]["outcome"], &of[0]["burns"]), (&"spent".into(), &Value::Null));
    let shown = text(&asked(spent, "text").stdout);
    let expected = "          budget    -100 % of 30d left
          result    SPENT: more than the budget is gone
";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn where_nothing_was_measured_of_late_nothing_is_kept() {
    let none = told(&asked(|_, _| NOTHING.to_owned(), "json"), UNMEASURED);
    assert!(none.iter().all(|of| of["outcome"] == "unmeasured"), "{none:?}");
    // Whatever wrote the metrics is gone since half an hour.
    let gone = |_: &str, window: &str| match window {
        "5m" | "30m" => NOTHING.to_owned(),
        _ => value("0.001"),
    };
    let of = told(&asked(gone, "json"), UNMEASURED);
    assert!(of.iter().all(|of| of["outcome"] == "unmeasured_of_late"), "{of:?}");
    let shown = text(&asked(gone, "text").stdout);
    assert_eq!(shown.matches("result    nothing was measured of late\n").count(), 3, "{shown}");
}

#[test]
fn no_proxy_of_the_surroundings_stands_before_a_prometheus_over_http() {
    let url = serve(|_, _| value("0"));
    let mut command = weir(&["slo", "--prometheus", &url, "--format", "json"]);
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(proxy, "http://127.0.0.1:1");
    }
    told(&command.output().unwrap(), KEPT);
}

#[test]
fn a_prometheus_that_refuses_or_is_none_or_is_not_there_is_told() {
    let refuses = |_: &str, _: &str| {
        r#"{"status":"error","errorType":"execution","error":"query timed out"}"#.to_owned()
    };
    for (output, why) in [
        (asked(refuses, "json"), "query timed out"),
        (asked(|_, _| "<html>".to_owned(), "json"), "is no Prometheus"),
        (
            weir(&["slo", "--prometheus", "http://127.0.0.1:1"]).output().unwrap(),
            "Prometheus does not answer at",
        ),
    ] {
        assert_eq!(output.status.code(), Some(ERROR), "{output:?}");
        assert!(text(&output.stderr).contains(why) && output.stdout.is_empty(), "{output:?}");
    }
}
