//! `weir doctor`: what can be traced on this machine, and what to do where it cannot.

use super::{ConfigFile, Run};
use crate::output;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use weir_tap::process::{Bio, Library, Obstacle, Process, Target};
use weir_tap::surroundings::{Finding, findings};
use weir_tap::{KeptSites, Placement, Placing, Site, Trap, TrapCosts, trap_costs, try_attaching};

takes!(Keys: Common, Tracing);

/// Say whether processes can be traced on this machine, and why not
///
/// It looks at the kernel, at what this process may do, and at each process that --trace or --pid means;
/// without either at every process that could be traced. It changes nothing: a probe that it attaches to
/// itself, to see whether it may, is detached again.
#[derive(clap::Args)]
pub struct Arguments {
    /// Process to look at, by its number, with its descendants
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// Print one JSON object, whose fields stay
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let settings = config.context(&self.keys)?.settings;
        let target = self.pid.map(Target::Tree).or_else(|| settings.trace.as_deref().map(Target::of));
        let findings = findings(&try_attaching());
        let processes: Vec<Patient> = match &target {
            Some(target) => target.processes().into_iter().map(Patient::of).collect(),
            // The kernel's own threads and everything else without TLS would be most of a long list.
            None => {
                Target::Tree(1).processes().into_iter().map(Patient::of).filter(Patient::is_good).collect()
            }
        };
        let entry_only = settings.tap_entry_only;
        let costs = trap_costs().ok();
        let mut kept = KeptSites::default();
        // Code is searched only for what is printed.
        let are_printed = self.json || target.is_some();
        let mut sites_of = |patient: &Patient| match are_printed {
            true => patient.sites(entry_only, &mut kept),
            false => Vec::new(),
        };
        let probes: Vec<Vec<Site>> = processes.iter().map(&mut sites_of).collect();
        let is_good = findings.iter().all(|finding| finding.is_good || !finding.is_needed)
            && (target.is_none() || processes.iter().any(Patient::is_good));
        match self.json {
            true => print_line!("{}", as_json(&findings, &processes, &probes, costs.as_ref())),
            false => {
                output::text(as_text(&findings, &processes, &probes, costs.as_ref(), target.is_some()));
            }
        }
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// A process, and what it can be traced by.
struct Patient {
    process: Process,
    outcome: Result<Library, Obstacle>,
}

impl Patient {
    fn of(process: Process) -> Self {
        let outcome = process.library();
        Self { process, outcome }
    }

    fn is_good(&self) -> bool {
        self.outcome.is_ok()
    }

    /// Where its probes would be placed.
    fn sites(&self, entry_only: bool, kept: &mut KeptSites) -> Vec<Site> {
        let Ok(library) = &self.outcome else { return Vec::new() };
        kept.of(library, Placing::here(entry_only)).all().copied().collect()
    }
}

/// What a probe costs a call: at its return that alone, because it shares the trap at the entry.
fn cost_ns(site: &Site, costs: &TrapCosts) -> u64 {
    if site.at_return { costs.return_ns } else { costs.at(&site.placement) }
}

/// Where a probe is placed, and why there.
fn place(site: &Site) -> String {
    match site.placement {
        Placement::Entry(cause) => format!("entry, executed apart: {}", cause.reason()),
        Placement::Emulated { behind_entry: 0, .. } => "entry, which is emulated".to_owned(),
        Placement::Emulated { behind_entry, .. } => format!("{behind_entry:#x} behind its entry, emulated"),
        Placement::Callee { .. } => "where its arguments are handed on, emulated".to_owned(),
    }
}

fn probe_json(site: &Site, costs: Option<&TrapCosts>) -> Value {
    let (behind_entry, reason) = match site.placement {
        Placement::Emulated { behind_entry, .. } => (Some(behind_entry), ""),
        Placement::Entry(cause) => (Some(0), cause.reason()),
        Placement::Callee { .. } => (None, ""),
    };
    json!({
        "probe": site.probe, "function": site.function, "at_return": site.at_return,
        "placement": site.placement.as_str(), "behind_entry": behind_entry, "reason": reason,
        "call_ns": costs.map(|costs| cost_ns(site, costs)),
    })
}

/// Why the addresses and the TLS fingerprints of its clients are not known, where that is so.
fn lack(library: &Library) -> Option<&Obstacle> {
    match &library.bio {
        Bio::NotNeeded | Bio::In(_) => None,
        Bio::Unknown(obstacle) => Some(obstacle),
    }
}

fn as_json(
    findings: &[Finding],
    processes: &[Patient],
    probes: &[Vec<Site>],
    costs: Option<&TrapCosts>,
) -> Value {
    let machine: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "what": finding.what, "good": finding.is_good, "needed": finding.is_needed,
                "found": finding.found, "remedy": finding.remedy,
            })
        })
        .collect();
    let processes: Vec<Value> = processes
        .iter()
        .zip(probes)
        .map(|(Patient { process, outcome }, probes)| match outcome {
            Ok(library) => {
                let lack = lack(library);
                let probes: Vec<Value> = probes.iter().map(|site| probe_json(site, costs)).collect();
                json!({
                    "process": process.id, "name": process.name, "can_be_traced": true,
                    "knows_clients": lack.is_none(), "library": library.name, "is_replaced": library.is_deleted,
                    "reason": lack.map_or("", |lack| &lack.reason), "remedy": lack.map_or("", |lack| &lack.remedy),
                    "probes": probes,
                })
            }
            Err(obstacle) => json!({
                "process": process.id, "name": process.name, "can_be_traced": false, "knows_clients": false,
                "library": null, "is_replaced": false, "reason": obstacle.reason, "remedy": obstacle.remedy,
                "probes": [],
            }),
        })
        .collect();
    let traps = costs.map(|costs| {
        Trap::ALL.into_iter().map(|trap| (trap.as_str(), costs.of(trap))).collect::<BTreeMap<_, _>>()
    });
    json!({ "machine": machine, "traps_ns": traps, "processes": processes })
}

fn as_text(
    findings: &[Finding],
    processes: &[Patient],
    probes: &[Vec<Site>],
    costs: Option<&TrapCosts>,
    are_meant: bool,
) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match (finding.is_good, finding.is_needed) {
            (true, _) => "ok  ",
            (false, true) => "FAIL",
            (false, false) => "warn",
        };
        text += &format!("{mark}  {:<12}  {}\n", finding.what, finding.found);
        if !finding.is_good {
            text += &format!("      {:<12}  → {}\n", "", finding.remedy);
        }
    }
    if let Some(costs) = costs {
        text += &format!(
            "ok    {:<12}  {} ns a call where the kernel emulates, {} ns where it executes apart, {} ns more for a return\n",
            "probes cost", costs.emulated_ns, costs.apart_ns, costs.return_ns
        );
    }
    text += "\n";
    if processes.is_empty() {
        text +=
            if are_meant { "no such process runs\n" } else { "no process was found that can be traced\n" };
    }
    for (Patient { process, outcome }, probes) in processes.iter().zip(probes) {
        let name = format!("{} {}", process.id, process.name);
        match outcome {
            Ok(library) => {
                let replaced = if library.is_deleted { " (replaced on disk since it started)" } else { "" };
                let mark = if lack(library).is_none() { "ok  " } else { "warn" };
                text += &format!("{mark}  {name:<24}  {}{replaced}\n", library.name);
                if let Some(Obstacle { reason, remedy }) = lack(library) {
                    text += &format!(
                        "      {:<24}  without the addresses and the TLS fingerprints of its clients: {reason}\n      {:<24}  → {remedy}\n",
                        "", ""
                    );
                }
                for site in probes.iter().filter(|_| are_meant) {
                    let cost =
                        costs.map(|costs| format!(" ({} ns)", cost_ns(site, costs))).unwrap_or_default();
                    let end = if site.at_return { ", return" } else { "" };
                    text += &format!("      {:<24}  {}{end}: {}{cost}\n", "", site.function, place(site));
                }
            }
            Err(Obstacle { reason, remedy }) => {
                text += &format!("FAIL  {name:<24}  {reason}\n      {:<24}  → {remedy}\n", "");
            }
        }
    }
    text
}
