//! Spans of notices, and collectors that refuse, fail and take a part.

use super::super::RetryCause;
use super::super::stub::answering;
use super::proto::PartialSuccess;
use super::*;
use crate::siem::notice::{of_action, of_campaign, of_verdict};
use crate::siem::testing::{action, campaign, verdict};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_schemas::{Action, ActionState, Origin, Verdict, VerdictId};

/// Notices of verdicts whose ids are hashes.
fn notices(count: u32) -> Vec<Notice> {
    let id = |number: u32| {
        let hash = <sha2::Sha256 as sha2::Digest>::digest(number.to_be_bytes());
        VerdictId(<[u8; 16]>::try_from(&hash[..16]).unwrap())
    };
    (0..count).map(|number| of_verdict(&Verdict { verdict_id: id(number), ..verdict() })).collect()
}

/// A collector that answers by a script, and how many spans each request had.
fn collector(script: Vec<(u16, Vec<u8>)>) -> (Endpoint, Arc<Mutex<Vec<usize>>>) {
    let seen = Arc::<Mutex<Vec<usize>>>::default();
    let (all, script) = (seen.clone(), Mutex::new(script.into_iter()));
    let url = answering(move |head, body| {
        assert!(head.to_lowercase().starts_with("post /v1/traces http"), "{head}");
        let request = Request::decode(&*body).unwrap();
        all.lock().unwrap().push(request.resource_spans[0].scope_spans[0].spans.len());
        Some(script.lock().unwrap().next().unwrap())
    });
    (Endpoint::new(&format!("{url}/"), None, None, Duration::from_secs(60)), seen)
}

#[test]
fn a_verdict_is_the_root_of_its_trace_and_decision_and_effect_are_its_children() {
    let (verdict, action) = (verdict(), action());
    let logged = Notice { logged_ms: Some(verdict.time_ms + 90), ..of_verdict(&verdict) };
    let root = span_of(&logged).unwrap();
    assert_eq!((root.name, root.trace_id, root.parent), ("event_to_verdict", [0xd1; 16], None));
    assert_eq!((root.begins_ms, root.ends_ms), (verdict.time_ms, verdict.time_ms + 90));
    let names: Vec<_> = root.attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, spans::DECLARED[0].attributes);
    // Where the log keeps the event's own time, or an older one, nothing lasts less than no time.
    for logged_ms in [None, Some(verdict.time_ms), Some(verdict.time_ms - 5)] {
        let span = span_of(&Notice { logged_ms, ..of_verdict(&verdict) }).unwrap();
        assert_eq!((span.ends_ms, span.span_id), (verdict.time_ms, root.span_id));
    }
    let of = |state: ActionState| span_of(&of_action(&Action { state, ..action.clone() }));
    for state in [ActionState::Pending, ActionState::Withheld] {
        let span = of(state).unwrap();
        assert_eq!(
            (span.name, span.trace_id, span.parent),
            ("event_to_decision", [0xd1; 16], Some(root.span_id))
        );
        assert_eq!((span.begins_ms, span.ends_ms), (verdict.time_ms, action.taken_ms));
        assert_eq!(span.failure, None);
    }
    let carried_out = Action { expires_ms: Some(action.time_ms + 600_200), ..action.clone() };
    let effect = span_of(&of_action(&carried_out)).unwrap();
    assert_eq!((effect.name, effect.parent), ("event_to_effect", Some(root.span_id)));
    assert_eq!((effect.begins_ms, effect.ends_ms), (verdict.time_ms, verdict.time_ms + 200));
    let names: Vec<_> = effect.attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, spans::DECLARED[2].attributes);
    assert!(of(ActionState::Failed).unwrap().failure.unwrap().starts_with("SUSPEND FAILED"));
    for state in [ActionState::Reverted, ActionState::Expired, ActionState::Superseded] {
        assert_eq!(of(state), None, "how long an effect lasts is no latency");
    }
    let imported = Verdict { origin: Origin::Import, ..verdict };
    assert_eq!(span_of(&of_verdict(&imported)), None);
    assert_eq!(span_of(&of_action(&Action { origin: Origin::Import, ..action })), None);
    assert!(of_campaign(&campaign(3)).iter().all(|notice| span_of(notice).is_none()));
}

#[test]
fn a_share_of_the_traces_is_the_same_for_everybody_and_a_part_of_every_larger_share() {
    let ids: Vec<[u8; 16]> = notices(10_000).iter().map(|notice| span_of(notice).unwrap().trace_id).collect();
    let kept = |share: u64| ids.iter().filter(|id| is_kept(id, share)).count();
    assert_eq!(kept(1_000), ids.len());
    for share in [1, 100, 500, 999] {
        let expected = ids.len() as f64 * share as f64 / 1_000.0;
        assert!(
            (kept(share) as f64 - expected).abs() < 5.0 * expected.sqrt() + 5.0,
            "{share}: {}",
            kept(share)
        );
        assert!(ids.iter().filter(|id| is_kept(id, share)).all(|id| is_kept(id, share + 1)));
    }
    let last = |byte: u8| [[0; 9].as_slice(), &[byte], &[0; 6]].concat().try_into().unwrap();
    assert!(is_kept(&last(0x80), 500) && !is_kept(&last(0x7f), 500), "the threshold itself is kept");
}

#[test]
fn what_a_collector_rejects_is_refused_and_what_it_cannot_take_now_is_left() {
    let said = |rejected_spans: i64| {
        let partial_success = Some(PartialSuccess { rejected_spans, error_message: "too old".into() });
        Response { partial_success }.encode_to_vec()
    };
    let script = vec![
        (200, Vec::new()),
        (200, said(0)),
        (200, said(2)),
        (200, said(i64::MAX)),
        (200, said(-1)),
        (400, b"no trace".to_vec()),
        (200, b"<html>".to_vec()),
        (429, Vec::new()),
        (500, Vec::new()),
        (401, Vec::new()),
        (404, Vec::new()),
    ];
    let count = script.len();
    let (endpoint, seen) = collector(script);
    let mut destination = OtlpDestination::new(endpoint, "node", 1_000);
    let mut deliver = || {
        let delivery = destination.deliver(&notices(3));
        let fates = delivery.fates.iter().map(|fate| match fate {
            Fate::Taken => 't',
            Fate::Refused(_) => 'r',
            Fate::Left => 'l',
        });
        (fates.collect::<String>(), delivery.failure.map(|failure| failure.cause))
    };
    for (fates, cause) in [
        ("ttt", None),
        ("ttt", None),
        ("trr", None),
        ("rrr", None),
        ("ttt", None),
        ("rrr", None),
        ("lll", Some(RetryCause::Misconfigured)),
        ("lll", Some(RetryCause::Busy)),
        ("lll", Some(RetryCause::Failing)),
        ("lll", Some(RetryCause::Denied)),
        ("lll", Some(RetryCause::Misconfigured)),
    ] {
        assert_eq!(deliver(), (fates.to_owned(), cause));
    }
    assert_eq!(*seen.lock().unwrap(), vec![3; count]);
}

#[test]
fn a_batch_of_which_nothing_is_kept_asks_nobody_and_one_that_is_too_large_becomes_smaller() {
    let (endpoint, seen) = collector(vec![(413, Vec::new()), (200, Vec::new()), (200, Vec::new())]);
    let mut destination = OtlpDestination::new(endpoint, "node", 1_000);
    assert_eq!(
        destination.deliver(&of_campaign(&campaign(3))),
        Delivery::taken(of_campaign(&campaign(3)).len())
    );
    assert_eq!(destination.deliver(&notices(4)), Delivery::taken(4));
    assert_eq!(*seen.lock().unwrap(), [4, 2, 2]);
}
