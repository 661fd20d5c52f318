use super::*;
use crate::telemetry::Metrics;
use crate::top::exposition::Reading;
use expect_test::expect;
use std::time::Duration;
use weir_tap::{Counts, EntryCause, Placement, Site, TrapCosts};
use weir_topology::telemetry::Telemetry as _;

/// What comes to a process that traces, between two readings.
fn between(first: impl FnOnce(&Metrics), then: impl FnOnce(&Metrics)) -> View {
    let metrics = Metrics::new();
    let read = || Reading::of(&metrics.render()).unwrap();
    first(&metrics);
    let before = read();
    then(&metrics);
    View::between("127.0.0.1:9635", &before, &read(), Duration::from_secs(2))
}

fn two_workers() -> View {
    let first = |metrics: &Metrics| {
        let counts = Counts { received: 10, received_bytes: 4_000, full: 3, ..Counts::default() };
        metrics.process_heard(41, "nginx", &counts);
        metrics.process_heard(42, "\u{1b}[2Ja-name-that-is-long", &Counts::default());
        metrics.probe_ran("ssl_read", 50, 60_000);
        metrics.traps_measured(&TrapCosts { emulated_ns: 433, apart_ns: 4_177, return_ns: 640 });
        metrics.trace_lost("gap_bytes", 900);
        metrics.cpu_looked_at(1_000);
    };
    between(first, |metrics| {
        let counts = Counts {
            received: 240,
            received_bytes: 68_200,
            sent: 236,
            sent_bytes: 25_000_000,
            full: 24,
            hello_full: 2,
            ..Counts::default()
        };
        metrics.process_heard(41, "nginx", &counts);
        metrics.process_heard(0, "others", &Counts { sent: 1, sent_bytes: 7, ..Counts::default() });
        metrics.probe_ran("ssl_read", 240, 288_000);
        metrics.probe_ran("bio_write", 4, 20_000_000);
        let site = |probe, placement| Site { probe, function: "", at_return: false, placement };
        let emulated = Placement::Emulated { behind_entry: 4, offset: 4 };
        metrics.probes_placed(&[
            site("ssl_read", Placement::Callee { offset: 4 }),
            site("ssl_write", emulated),
            site("ssl_write", emulated),
            site("ssl_write", Placement::Entry(EntryCause::Refused)),
        ]);
        metrics.trace_lost("tap_full", 24);
        metrics.events_published(118);
        metrics.spool_opened(1 << 30);
        metrics.spool_looked_at(2_500_000, 3_000_000);
        metrics.cpu_looked_at(1_030);
    })
}

#[test]
fn what_came_between_two_readings_is_shown_for_people() {
    expect![[r#"
        127.0.0.1:9635: 59.0 events/s of all requests; CPU of one processor: Weir 1.50 %, probes 1.01 %

         PROCESS NAME             RECEIVED/s    BYTES/s     SENT/s    BYTES/s  DROPPED/s  DROPPED BY CAUSE
              41 nginx                   120      34.1k        118      12.5M         13  tap_full 27, tap_hello_full 2
              42 [2Ja-name-that-i          0          0          0          0          0  nothing
               - others                    0          0        0.5        3.5          0  nothing

        PROBE                        RUNS/s   NS A RUN    CPU %  PLACED
        ssl_read                        120       1200     0.01  callee 1
        ssl_write                         -          -        -  emulated 2, entry 1
        bio_write                         2      5000k     1.00

        a probe costs a call: 433 ns where it is emulated or a callee's, 4177 ns at another entry, 640 ns more for its return

        spool: 2500k bytes wait for the log; 3000k of 1074M on the disk

        lost, of all: gap_bytes 900, tap_full 24
    "#]].assert_eq(&table(&two_workers()));
}

#[test]
fn and_for_programs() {
    let mut view = two_workers();
    view.probes.retain(|probe| ["ssl_read", "ssl_write"].contains(&probe.probe));
    expect![[r#"
        {
          "address": "127.0.0.1:9635",
          "interval_ms": 2000,
          "cpu_percent": 1.5,
          "probes_cpu_percent": 1.0144,
          "sampled": "all",
          "events": {
            "total": 118,
            "per_s": 59.0
          },
          "spool": {
            "waiting_bytes": 2500000,
            "bytes": 3000000,
            "bytes_max": 1073741824
          },
          "processes": [
            {
              "process": 0,
              "name": "others",
              "received": {
                "messages": {
                  "total": 0,
                  "per_s": 0.0
                },
                "bytes": {
                  "total": 0,
                  "per_s": 0.0
                }
              },
              "sent": {
                "messages": {
                  "total": 1,
                  "per_s": 0.5
                },
                "bytes": {
                  "total": 7,
                  "per_s": 3.5
                }
              },
              "dropped": {}
            },
            {
              "process": 41,
              "name": "nginx",
              "received": {
                "messages": {
                  "total": 250,
                  "per_s": 120.0
                },
                "bytes": {
                  "total": 72200,
                  "per_s": 34100.0
                }
              },
              "sent": {
                "messages": {
                  "total": 236,
                  "per_s": 118.0
                },
                "bytes": {
                  "total": 25000000,
                  "per_s": 12500000.0
                }
              },
              "dropped": {
                "tap_full": {
                  "total": 27,
                  "per_s": 12.0
                },
                "tap_hello_full": {
                  "total": 2,
                  "per_s": 1.0
                }
              }
            },
            {
              "process": 42,
              "name": "\u001b[2Ja-name-that-is-long",
              "received": {
                "messages": {
                  "total": 0,
                  "per_s": 0.0
                },
                "bytes": {
                  "total": 0,
                  "per_s": 0.0
                }
              },
              "sent": {
                "messages": {
                  "total": 0,
                  "per_s": 0.0
                },
                "bytes": {
                  "total": 0,
                  "per_s": 0.0
                }
              },
              "dropped": {}
            }
          ],
          "probes": [
            {
              "probe": "ssl_read",
              "runs": {
                "total": 290,
                "per_s": 120.0
              },
              "ns_per_s": 144000.0,
              "ns_per_run": 1200.0,
              "placed": {
                "callee": 1
              }
            },
            {
              "probe": "ssl_write",
              "runs": {
                "total": 0,
                "per_s": 0.0
              },
              "ns_per_s": 0.0,
              "ns_per_run": null,
              "placed": {
                "emulated": 2,
                "entry": 1
              }
            }
          ],
          "traps_ns": {
            "apart": 4177,
            "emulated": 433,
            "return": 640
          },
          "lost": {
            "gap_bytes": {
              "total": 900,
              "per_s": 0.0
            },
            "tap_full": {
              "total": 24,
              "per_s": 12.0
            }
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&view).unwrap());
}

#[test]
fn where_nothing_is_traced_and_nothing_measured_it_says_what_to_do() {
    expect![[r#"
        127.0.0.1:9635: 0.0 events/s of all requests; CPU of one processor: Weir 0.00 %, probes not measured

        no process is traced: start it with --trace, and `weir doctor` says what can be

        no probe was measured: none ran, or the kernel measures none (tap.measure_probes, or sysctl kernel.bpf_stats_enabled=1)

        lost, of all: nothing
    "#]].assert_eq(&table(&between(|_| (), |_| ())));
}

#[test]
fn a_process_that_started_anew_begins_at_noughts() {
    let counts = |sent| Counts { sent, ..Counts::default() };
    let [old, new] = [50, 8].map(|sent| {
        let metrics = Metrics::new();
        metrics.process_heard(41, "nginx", &counts(sent));
        Reading::of(&metrics.render()).unwrap()
    });
    let view = View::between("127.0.0.1:9635", &old, &new, Duration::from_secs(2));
    let sent = view.processes[0].sent.messages;
    assert_eq!((sent.total, sent.per_s), (8, 4.0));
}

#[test]
fn numbers_are_short_whatever_they_are() {
    let shown = [0.0, 0.5, 7.0, 99.96, 9_999.0, 10_000.0, 123_456.0, 5e6, 2.5e13].map(short);
    assert_eq!(shown, ["0", "0.5", "7", "100.0", "9999", "10.0k", "123k", "5000k", "25.0T"]);
}
