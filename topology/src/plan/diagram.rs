//! The topology as a picture and as a table, drawn from the data. Of every table topic both say what makes a
//! key's latest record sufficient.

use crate::topic::{Cleanup, KeyKind, Partitions, Topic};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A Mermaid flow chart: who writes which topic, and who reads it.
pub fn mermaid() -> String {
    let mut out = String::from("flowchart LR\n");
    let mut roles: BTreeSet<&str> = BTreeSet::new();
    for topic in Topic::ALL {
        let spec = topic.spec();
        roles.extend(spec.written_by.iter().chain(spec.read_by));
        let kept = cleanup(spec.cleanup);
        let why = spec.cleanup.latest_suffices().map(|why| format!("<br/>{why}")).unwrap_or_default();
        let _ = writeln!(out, "  {}[(\"{}<br/>{kept}{why}\")]", node(spec.name), spec.name);
    }
    for role in roles {
        let _ = writeln!(out, "  {role}([{role}])");
    }
    for topic in Topic::ALL {
        let spec = topic.spec();
        for role in spec.written_by {
            let _ = writeln!(out, "  {role} --> {}", node(spec.name));
        }
        for role in spec.read_by {
            let _ = writeln!(out, "  {} --> {role}", node(spec.name));
        }
    }
    out
}

/// One line a topic: key, clean-up, partitions, writers and readers.
pub fn table() -> String {
    let mut rows = vec![
        ["topic", "key", "cleanup", "partitions", "written by", "read by", "the latest suffices, since"]
            .map(String::from),
    ];
    for topic in Topic::ALL {
        let spec = topic.spec();
        rows.push([
            spec.name.into(),
            key(spec.key).into(),
            cleanup(spec.cleanup),
            if spec.partitions == Partitions::Shared { "shared" } else { "one" }.into(),
            spec.written_by.join(", "),
            spec.read_by.join(", "),
            spec.cleanup.latest_suffices().unwrap_or_default().into(),
        ]);
    }
    let widths: [usize; 7] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let mut out = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

/// A topic's name as a Mermaid node: dots are syntax there, and a topic and a role may share a word.
fn node(name: &str) -> String {
    name.replace('.', "_")
}

fn key(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Account => "account",
        KeyKind::LinkValue => "link value",
        KeyKind::Campaign => "campaign",
        KeyKind::Tenant => "tenant",
        KeyKind::Name => "name",
        KeyKind::Task => "stage/partition",
        KeyKind::Source => "source",
        KeyKind::AsItCame => "as it came",
    }
}

fn cleanup(cleanup: Cleanup) -> String {
    let days = |retention: std::time::Duration| retention.as_secs() / 86_400;
    match cleanup {
        Cleanup::Delete(retention) => format!("delete, {} d", days(retention)),
        Cleanup::Compact(_) => "compact".into(),
        Cleanup::CompactAndDelete(retention, _) => format!("compact + delete, {} d", days(retention)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_table_shows_every_topic() {
        expect![[r#"
            topic                 key              cleanup                 partitions  written by                                       read by                                        the latest suffices, since
            weir.events           account          delete, 7 d             shared      collector                                        account, replay
            weir.identities       account          compact + delete, 90 d  shared      collector, enforcer                              enforcer                                       it is the whole identity, and is announced again daily while the account is seen
            weir.links            link value       delete, 3 d             shared      account                                          cluster
            weir.clusters         account          delete, 7 d             shared      cluster                                          account
            weir.verdicts         account          delete, 90 d            shared      account                                          enforcer, exporter, console
            weir.members          account          delete, 7 d             one         account                                          campaign
            weir.campaigns        campaign         delete, 90 d            one         campaign                                         enforcer, exporter, console
            weir.actions          account          delete, 90 d            shared      enforcer                                         executor, exporter, gateway, console
            weir.outcomes         account          delete, 90 d            shared      executor                                         enforcer, console
            weir.standing         account          compact                 shared      enforcer                                         gateway, console                               it says all of how the account stands, or that nothing is to be said of it any more
            weir.audit            tenant           delete, 400 d           shared      enforcer                                         auditor
            weir.control          name             delete, 36500 d         one         operator                                         account, cluster, campaign, enforcer, gateway
            weir.epochs           stage/partition  delete, 90 d            shared      account, cluster, campaign, enforcer             replay
            weir.checkpoints      account          delete, 8 d             shared      account                                          replay
            weir.state.account    account          compact                 shared      account                                          account                                        an entry is the whole state of its key, or its end
            weir.state.cluster    link value       compact                 shared      cluster                                          cluster                                        an entry is the whole state of its key, or its end
            weir.state.campaign   account          compact                 one         campaign                                         campaign                                       an entry is the whole state of its key, or its end
            weir.state.enforcer   account          compact                 shared      enforcer                                         enforcer                                       an entry is the whole state of its key, or its end
            weir.state.collector  source           compact                 shared      collector                                        collector                                      a position takes the place of the one before
            weir.state.export     name             compact                 one         exporter                                         exporter                                       a position takes the place of the one before
            weir.dlq              as it came       delete, 14 d            shared      collector, account, cluster, campaign, enforcer  operator
        "#]].assert_eq(&table());
    }

    #[test]
    fn the_chart_has_an_edge_for_every_writer_and_reader() {
        let chart = mermaid();
        for topic in Topic::ALL {
            let spec = topic.spec();
            for role in spec.written_by {
                assert!(chart.contains(&format!("  {role} --> {}\n", node(spec.name))), "{role} {topic}");
            }
            for role in spec.read_by {
                assert!(chart.contains(&format!("  {} --> {role}\n", node(spec.name))), "{topic} {role}");
            }
            let why = spec.cleanup.latest_suffices();
            assert_eq!(why.is_some(), topic.is_compacted(), "{topic}");
            assert!(why.is_none_or(|why| chart.contains(why)), "{topic}");
        }
    }
}
