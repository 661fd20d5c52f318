//! What simulated traffic is like: the properties that populations, probes and campaigns are built to have.

#![allow(clippy::unwrap_used)] // A helper that cannot go on fails its test.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use weir_traffic::care::{Care, Measure, Measures};
use weir_traffic::scenario::{Name, Plan};
use weir_traffic::write::{Labels, LineFormat, write_line};

fn plan(name: &str, seed: u64) -> Plan {
    Plan {
        name: Name::from_str(name).unwrap(),
        seed,
        accounts: 250,
        campaign_share: 0.09,
        care: None,
        measures: Measures::default(),
        hours: 24.0,
        scale: 0.002,
    }
}

fn text(plan: &Plan, format: LineFormat, labels: Labels) -> String {
    let mut stream = weir_traffic::simulate(plan, weir_traffic::START_MS, None);
    let mut out = String::new();
    while let Some(exchange) = stream.next_exchange() {
        write_line(exchange, format, labels, &mut out);
    }
    out
}

fn rows(plan: &Plan) -> Vec<Value> {
    let text = text(plan, LineFormat::Glasswally, Labels::With);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn distinct(rows: &[Value], field: &str) -> usize {
    rows.iter().map(|row| row[field].to_string()).collect::<BTreeSet<_>>().len()
}

/// Rows by account, of those whose `field` is `value`.
fn accounts<'r>(rows: &'r [Value], field: &str, value: &str) -> BTreeMap<&'r str, Vec<&'r Value>> {
    let mut accounts: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row[field].as_str().is_some_and(|found| found.starts_with(value))) {
        accounts.entry(row["account_id"].as_str().unwrap()).or_default().push(row);
    }
    accounts
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for name in ["world", "disclosure"] {
        let bytes = |seed| text(&plan(name, seed), LineFormat::Weir, Labels::With);
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }
}

#[test]
fn lines_come_in_order_of_time_with_ids_of_their_own() {
    let rows = rows(&plan("world", 1));
    assert!(rows.len() > 15_000, "{}", rows.len());
    assert!(rows.is_sorted_by_key(|row| row["timestamp"].as_str().unwrap().to_owned()));
    assert_eq!(distinct(&rows, "request_id"), rows.len());
}

#[test]
fn a_world_has_every_population_and_every_campaign() {
    let rows = rows(&plan("world", 3));
    let names = |field: &str| -> BTreeSet<&str> {
        rows.iter()
            .filter_map(|row| row[field].as_str())
            .map(|name| name.split('.').next().unwrap())
            .collect()
    };
    let populations: BTreeSet<&str> =
        weir_traffic::honest::HONEST.iter().map(|(honest, ..)| honest.name()).chain(["campaign"]).collect();
    assert_eq!(names("population"), populations);
    let schemes: BTreeSet<&str> =
        weir_traffic::campaign::SCHEMES.iter().map(|(scheme, _)| scheme.name()).collect();
    assert_eq!(names("campaign_label"), schemes);
    for row in &rows {
        assert_eq!(row["population"] == "campaign", row["campaign_label"].is_string());
    }
}

#[test]
fn unlabelled_lines_do_not_say_whose_they_are() {
    for format in [LineFormat::Glasswally, LineFormat::Weir] {
        let text = text(&plan("world", 1), format, Labels::Without);
        for word in ["label", "population", "hydra", "naive"] {
            assert!(!text.contains(&format!("\"{word}")), "{word}");
        }
    }
}

#[test]
fn homework_is_thirty_students_with_twelve_tasks_behind_one_address() {
    let rows = rows(&plan("homework", 5));
    assert_eq!(distinct(&rows, "account_id"), 30);
    assert_eq!(rows.len(), 30 * 12);
    assert_eq!(distinct(&rows, "prompt"), 12);
    assert_eq!(distinct(&rows, "client_ip"), 1);
    assert_eq!(distinct(&rows, "org_id"), 1);
    let hours: BTreeSet<&str> = rows.iter().map(|row| &row["timestamp"].as_str().unwrap()[11..13]).collect();
    assert!(hours.is_subset(&["17", "18", "19", "20"].into()), "{hours:?}");
}

#[test]
fn agents_are_twenty_colleagues_with_one_preamble_address_organisation_and_card() {
    let rows = rows(&plan("agents", 5));
    assert_eq!(distinct(&rows, "account_id"), 20);
    for field in ["client_ip", "org_id", "payment_method_hash", "system_prompt"] {
        assert_eq!(distinct(&rows, field), 1, "{field}");
    }
}

#[test]
fn the_harness_asks_400_questions_at_two_a_second() {
    let rows = rows(&plan("harness", 5));
    assert_eq!((rows.len(), distinct(&rows, "account_id")), (400, 1));
    let (first, last) = (rows[0]["timestamp"].as_str().unwrap(), rows[399]["timestamp"].as_str().unwrap());
    assert_eq!((&first[11..16], &last[11..16]), ("10:00", "10:03"));
}

#[test]
fn a_hydra_has_its_accounts_and_nobody_else() {
    for count in [6, 40, 400] {
        let rows = rows(&plan(&format!("hydra-{count}"), 2));
        assert_eq!(distinct(&rows, "account_id"), count);
        assert_eq!(distinct(&rows, "campaign_label"), 1);
        assert_eq!(distinct(&rows, "system_prompt"), 1);
        assert_eq!(distinct(&rows, "ja4"), 1);
    }
}

#[test]
fn people_sleep_and_programs_do_not() {
    let rows = rows(&Plan { accounts: 900, ..plan("world", 7) });
    // Share of an account's requests in its quietest six hours.
    let night = |rows: &[&Value]| {
        let mut hours = [0; 24];
        rows.iter()
            .for_each(|row| hours[row["timestamp"].as_str().unwrap()[11..13].parse::<usize>().unwrap()] += 1);
        let quiet =
            (0..24).map(|from| (0..6).map(|hour| hours[(from + hour) % 24]).sum::<usize>()).min().unwrap();
        quiet as f64 / rows.len() as f64
    };
    let mean = |field, name| {
        let accounts = accounts(&rows, field, name);
        let busy: Vec<f64> =
            accounts.values().filter(|rows| rows.len() > 40).map(|rows| night(rows)).collect();
        busy.iter().sum::<f64>() / busy.len() as f64
    };
    assert!(mean("population", "chat") < 0.02);
    assert!(mean("population", "developer") < 0.02);
    assert!(mean("campaign_label", "proxied-hydra") > 0.05);
    assert!(mean("campaign_label", "paraphrase") > 0.05);
}

#[test]
fn a_burned_account_is_replaced_by_the_next() {
    let rows = rows(&Plan { accounts: 600, care: Some(Care::Naive), ..plan("world", 2) });
    let accounts = accounts(&rows, "campaign_label", "burn.naive");
    let lives: Vec<(&str, &str)> = accounts
        .values()
        .map(|rows| {
            (rows[0]["timestamp"].as_str().unwrap(), rows[rows.len() - 1]["timestamp"].as_str().unwrap())
        })
        .collect();
    assert!(lives.len() >= 12);
    // Few live at a time.
    for (birth, _) in &lives {
        let alive = lives.iter().filter(|(first, last)| first <= birth && birth <= last).count();
        assert!(alive <= lives.len() / 3 + 1, "{alive} of {}", lives.len());
    }
}

#[test]
fn a_sweep_is_split_so_that_no_two_accounts_have_a_task_in_common() {
    let rows = rows(&Plan { care: Some(Care::Naive), ..plan("world", 4) });
    let accounts = accounts(&rows, "campaign_label", "sweep.naive");
    let tasks: Vec<BTreeSet<&str>> = accounts
        .values()
        .map(|rows| rows.iter().map(|row| row["prompt"].as_str().unwrap()).collect())
        .collect();
    assert!(tasks.len() >= 4);
    let all: BTreeSet<&str> = tasks.iter().flatten().copied().collect();
    let (each, apart) = (tasks.iter().map(BTreeSet::len).sum::<usize>(), all.len());
    assert!(apart * 100 > each * 97, "{apart} of {each}");
}

#[test]
fn a_measure_takes_away_what_it_is_bought_against() {
    let hydra =
        |measures: &[Measure]| rows(&Plan { measures: Measures::of(measures), ..plan("hydra-12", 2) });
    let naive = hydra(&[]);
    assert!(distinct(&naive, "payment_method_hash") <= 6);
    assert_eq!(distinct(&hydra(&[Measure::Cards]), "payment_method_hash"), 12);
    assert!(distinct(&hydra(&[Measure::Clients]), "user_agent") > 4);
    assert_eq!(hydra(&[Measure::Preambles])[0]["system_prompt"], Value::Null);
    assert_eq!(hydra(&[Measure::Limits])[0]["max_tokens"], Value::Null);
    assert!(distinct(&hydra(&[Measure::Addresses]), "asn_number") > 3);
    // Who sleeps asks less.
    assert!(hydra(&[Measure::Hours]).len() * 3 < naive.len());
    assert!(hydra(&[Measure::Hours])[0]["campaign_label"].as_str().unwrap().ends_with(".hours"));
}

#[test]
fn a_release_day_moves_honest_accounts_to_the_new_model_over_hours() {
    let plan = (1..20).map(|seed| plan("honest", seed)).find(|plan| plan.scenario().has_release).unwrap();
    let rows = rows(&plan);
    let moved: Vec<usize> = (0..rows.len()).filter(|index| rows[*index]["model"] == "atlas-5").collect();
    let accounts: BTreeSet<String> =
        moved.iter().map(|index| rows[*index]["account_id"].to_string()).collect();
    assert!(accounts.len() > 20, "{}", accounts.len());
    assert!(moved[0] > rows.len() / 20);
}
