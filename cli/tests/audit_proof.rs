//! Proofs for people who have no Weir: verified with openssl, jq and sha256sum alone.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{Place, success, text, traffic, traffic_of_two_tenants, weir};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The script, with nothing on its path but what it says that it needs. None where that is not there: with CI
/// set that is a failure.
fn verify(place: &Place, arguments: &[&Path]) -> Option<Output> {
    let bin = place.directory.path().join("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).unwrap();
        for tool in ["openssl", "jq", "sha256sum", "mktemp", "rm"] {
            let at = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(tool));
            let Some(at) = at.iter().find(|path| path.exists()) else {
                assert!(std::env::var_os("CI").is_none(), "{tool} must be there in CI");
                eprintln!("skipped: there is no {tool}");
                std::fs::remove_dir_all(&bin).unwrap();
                return None;
            };
            symlink(at, bin.join(tool)).unwrap();
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/verify/weir-verify.sh");
    let mut command = Command::new("/bin/sh");
    command.arg(script).args(arguments).env_clear().env("PATH", &bin);
    Some(command.output().unwrap())
}

fn judged() -> Place {
    judged_of(&traffic(3, 60))
}

/// A place where this traffic was judged and acted on.
fn judged_of(traffic: &str) -> Place {
    let place = Place::new();
    std::fs::write(&place.feed, traffic).unwrap();
    place.set_posture("enforce");
    let mut run = place.run_to_idle();
    run.args(["--act-age-max-ms", "31536000000"]);
    success(run);
    place
}

fn signing(place: &Place, arguments: &[&str]) -> Command {
    let mut command = weir(arguments);
    command.arg("--data-dir").arg(&place.data).arg("--keys-dir").arg(place.keys_of("auditor"));
    command.arg("--sign-keys").arg(place.keys_of("operator"));
    command
}

fn prove(place: &Place, of: &str) -> PathBuf {
    let proof = place.directory.path().join("proof.json");
    let mut command = signing(place, &["audit", "prove", of]);
    success({
        command.arg("--out").arg(&proof);
        command
    });
    proof
}

/// Changes a file's JSON.
fn altered(file: &Path, alter: impl FnOnce(&mut serde_json::Value)) -> PathBuf {
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    alter(&mut value);
    let path = file.with_extension("altered");
    std::fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
    path
}

#[test]
fn a_record_is_proved_to_who_has_openssl_jq_and_sha256sum_and_nothing_else() {
    let place = judged();
    let lines = place.lines_of("audit_log.jsonl");
    let done = lines.iter().find(|line| line["outcome"] == "done").unwrap();
    let proof = prove(&place, done["action_id"].as_str().unwrap());
    let keys = place.keys_of("auditor");
    let check = |file: &Path, keys: &Path| verify(&place, &["proof".as_ref(), file, keys]);
    let Some(sound) = check(&proof, &keys) else { return };
    let told = text(&sound.stdout);
    assert!(sound.status.success(), "{}", text(&sound.stderr));
    let (writer, sequence) = (done["writer"].as_str().unwrap(), &done["sequence"]);
    let expected = format!("record {sequence} of {writer}: signed by audit-1, and in the tree of ");
    assert!(told.lines().any(|line| line.starts_with(&expected)), "{told}");
    let says = std::fs::read_to_string(&proof).unwrap();
    let says: serde_json::Value = serde_json::from_str(&says).unwrap();
    assert!(says["records"].as_array().unwrap().iter().any(|record| record["says"] == *done), "{says}");

    let refused = |file: &Path, keys: &Path, why: &str| {
        let output = check(file, keys).unwrap();
        assert!(!output.status.success(), "{why}");
        let told = text(&output.stderr);
        assert!(told.starts_with("NOT TO BE BELIEVED: ") && told.contains(why), "{told}");
    };
    let flip = |value: &mut serde_json::Value| {
        let text = value.as_str().unwrap();
        let first = if text.starts_with('A') { "B" } else { "A" };
        *value = format!("{first}{}", &text[1..]).into();
    };
    refused(
        &altered(&proof, |proof| flip(&mut proof["records"][0]["record"])),
        &keys,
        "is not what audit-1 signed",
    );
    refused(&altered(&proof, |proof| flip(&mut proof["records"][0]["path"][0])), &keys, "is not in the tree");
    refused(
        &altered(&proof, |proof| flip(&mut proof["checkpoint_signature"])),
        &keys,
        "the operator's key signed",
    );
    let larger = |proof: &mut serde_json::Value| {
        let size = proof["size"].to_string();
        let note = proof["checkpoint"].as_str().unwrap().replacen(&format!("\n{size}\n"), "\n9999\n", 1);
        proof["checkpoint"] = note.into();
    };
    refused(&altered(&proof, larger), &keys, "the operator's key signed");
    // A shell computes with what a file says.
    let computed = |proof: &mut serde_json::Value| {
        let sequence = proof["records"][0]["sequence"].to_string();
        proof["records"][0]["sequence"] = format!("{sequence}+a[$(touch made)]").into();
    };
    refused(&altered(&proof, computed), &keys, "is no number of a record");
    let none = |proof: &mut serde_json::Value| proof["records"] = serde_json::json!([]);
    refused(&altered(&proof, none), &keys, "there is no record");
    let other = Place::new();
    refused(&proof, &other.keys_of("auditor"), "the operator's key signed");
}

#[test]
fn a_chain_is_exported_as_a_log_of_tiles_that_only_grows() {
    let place = judged();
    let out = place.directory.path().join("log");
    let export = || signing(&place, &["audit", "export", out.to_str().unwrap()]);
    success(export());
    let note = |chain: &str| std::fs::read_to_string(out.join(chain).join("checkpoint")).unwrap();
    let lines = place.lines_of("audit_log.jsonl");
    let of_chain = lines.iter().filter(|line| line["writer"] == "enforcer/0").count();
    let before = note("enforcer-0");
    assert!(before.starts_with(&format!("weir/enforcer/0\n{of_chain}\n")), "{before}");
    let width = of_chain % 256;
    let tile = match of_chain / 256 {
        0 => format!("tile/0/000.p/{width}"),
        _ => "tile/0/000".to_owned(),
    };
    let bytes = std::fs::read(out.join("enforcer-0").join(&tile)).unwrap();
    assert_eq!(bytes.len(), 32 * of_chain.min(256));
    assert!(out.join("enforcer-0").join(tile.replace("tile/0", "tile/entries")).exists());

    // The posture changes, so each chain has one more.
    place.set_posture("audit");
    success(place.run_to_idle());
    success(export());
    let grown: usize = note("enforcer-0").lines().nth(1).unwrap().parse().unwrap();
    assert!(grown > of_chain);
    // Another history does not take its place.
    let other = judged();
    let tiles = || {
        let directory = out.join("enforcer-0/tile/entries");
        let mut files: Vec<_> = walk(&directory);
        files.sort();
        files
    };
    let kept = tiles();
    let foreign = signing(&other, &["audit", "export", out.to_str().unwrap()]).output().unwrap();
    assert!(!foreign.status.success());
    assert!(
        text(&foreign.stderr).contains("is not the beginning of this chain"),
        "{}",
        text(&foreign.stderr)
    );
    assert!(note("enforcer-0").lines().nth(1).unwrap().parse::<usize>().unwrap() == grown);
    assert_eq!(tiles(), kept, "and nothing of it gives way");
}

#[test]
fn a_tenant_gets_all_of_its_own_records_with_proofs_and_nothing_of_another_tenant() {
    let place = judged_of(&traffic_of_two_tenants(["north", "south"]));
    // Operators say something of an account of each tenant, and of a tenant: every enforcer writes it down,
    // and the one that has the account knows whose it is.
    let subjects = ["north", "south"].map(|tenant| {
        let lines = place.lines_of("audit_log.jsonl");
        let decided = lines.iter().find(|line| line["tenant"] == tenant && line["kind"] == "DECISION");
        (tenant, decided.unwrap()["account"].as_str().unwrap().to_owned())
    });
    for (tenant, account) in &subjects {
        for subject in [format!("account/{account}"), format!("tenant/{tenant}")] {
            success(weir(&["protect", "add", &subject, "--data-dir", place.data.to_str().unwrap()]));
        }
    }
    success(place.run_to_idle());
    let out = place.directory.path().join("of-north");
    success(signing(&place, &["audit", "export", out.to_str().unwrap(), "--tenant", "north"]));
    let lines = place.lines_of("audit_log.jsonl");
    let chains: BTreeSet<&str> = lines.iter().filter_map(|line| line["writer"].as_str()).collect();
    for (tenant, account) in &subjects {
        let listed = lines.iter().filter(|line| line["outcome"] == "listed");
        let of_account = listed.clone().filter(|line| line["account"] == **account);
        let known = of_account.clone().filter(|line| line["tenant"] == *tenant);
        assert_eq!((of_account.count(), known.count()), (chains.len(), 1), "{account}");
        let of_tenant = listed.filter(|line| line["account"].is_null() && line["tenant"] == *tenant);
        assert_eq!(of_tenant.count(), chains.len());
    }
    let north: BTreeSet<&str> = lines
        .iter()
        .filter(|line| line["tenant"] == "north")
        .filter_map(|line| line["account"].as_str())
        .collect();
    let is_of = |line: &serde_json::Value, tenant: &str| {
        let about_north =
            line["tenant"] == "*" && line["account"].as_str().is_some_and(|id| north.contains(id));
        line["tenant"] == tenant || (tenant == "north" && about_north)
    };
    let of = |tenant: &'static str| lines.iter().filter(move |line| is_of(line, tenant));
    let ids = |tenant: &'static str| -> BTreeSet<&str> {
        let named = ["account", "verdict_id", "action_id"];
        of(tenant).flat_map(|line| named.map(|name| line[name].as_str())).flatten().collect()
    };
    let (own, others) = (ids("north"), ids("south"));
    assert!(!own.is_empty() && !others.is_empty() && own.is_disjoint(&others), "both were acted on");

    let mut shown = Vec::new();
    for (path, bytes) in walk(&out) {
        let proof: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        // What is written out, and what is in the records as they were signed.
        let mut all = String::from_utf8(bytes).unwrap();
        for record in proof["records"].as_array().unwrap() {
            let signed = BASE64.decode(record["record"].as_str().unwrap()).unwrap();
            all += &String::from_utf8_lossy(&signed);
            all += &signed.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            shown.push(record["says"].clone());
        }
        for id in others.iter().chain(&["south"]) {
            assert!(!all.contains(id), "{id} is in {}", path.display());
        }
        assert!(own.iter().any(|id| all.contains(id)));
        if let Some(checked) = verify(&place, &["proof".as_ref(), &path, &place.keys_of("auditor")]) {
            assert!(checked.status.success(), "{}", text(&checked.stderr));
        }
    }
    let mut expected: Vec<_> = of("north").cloned().collect();
    let place_of = |line: &serde_json::Value| (line["writer"].to_string(), line["sequence"].as_i64());
    expected.sort_by_key(place_of);
    shown.sort_by_key(place_of);
    assert_eq!(shown, expected, "all of its records, and none of the operators'");

    let (elsewhere, before) = (place.directory.path().join("elsewhere"), walk(&out));
    for (tenant, to, why) in [
        ("west", &elsewhere, "there is no audit record of tenant west"),
        ("*", &elsewhere, "the name of one tenant"),
        ("south", &out, "is not empty: one tenant's records go into a directory of their own"),
    ] {
        let arguments = ["audit", "export", to.to_str().unwrap(), "--tenant", tenant];
        let refused = signing(&place, &arguments).output().unwrap();
        assert!(!refused.status.success());
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
    assert_eq!(walk(&out), before, "nobody else's records are beside them");
}

/// Every file below a directory, with its bytes.
fn walk(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => walk(&path),
            false => vec![(path.clone(), std::fs::read(&path).unwrap())],
        })
        .collect()
}

#[test]
fn a_pack_of_evidence_is_verified_the_same_way_and_there_is_none_of_nothing() {
    let place = judged();
    let at = |name: &str| place.directory.path().join(name);
    let pack = |from: &str, to: &str, out: &Path| {
        let mut command = signing(&place, &["evidence-pack", "--from", from, "--to", to, "--site", "test"]);
        command.arg("--out").arg(out).output().unwrap()
    };
    let empty = pack("0", "2000-01-01T00:00:00Z", &at("none.zip"));
    assert!(!empty.status.success() && text(&empty.stderr).contains("no data: "), "{}", text(&empty.stderr));
    assert!(!at("none.zip").exists());
    let made = pack("0", "2100-01-01T00:00:00Z", &at("pack.zip"));
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(pack("0", "2100-01-01T00:00:00Z", &at("again.zip")).status.success());
    assert_eq!(std::fs::read(at("pack.zip")).unwrap(), std::fs::read(at("again.zip")).unwrap());

    // Unpacked by somebody else's reader.
    let unpack = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; z.extractall(sys.argv[2])";
    let Ok(unpacked) =
        Command::new("python3").args(["-c", unpack]).arg(at("pack.zip")).arg(at("pack")).output()
    else {
        assert!(std::env::var_os("CI").is_none(), "python3 must be there in CI");
        return;
    };
    assert!(unpacked.status.success(), "{}", text(&unpacked.stderr));
    let keys = place.keys_of("auditor");
    let check = || verify(&place, &["pack".as_ref(), &at("pack"), &keys]);
    let Some(sound) = check() else { return };
    assert!(sound.status.success(), "{}", text(&sound.stderr));
    let evidence: serde_json::Value =
        serde_json::from_slice(&std::fs::read(at("pack").join("evidence.json")).unwrap()).unwrap();
    let certificates = evidence["certificates"].as_array().unwrap();
    let lines = place.lines_of("audit_log.jsonl");
    let done = lines.iter().filter(|line| line["outcome"] == "done").count();
    assert_eq!(certificates.len(), done);
    assert!(text(&sound.stdout).starts_with(&format!("{done} certificates: ")), "{}", text(&sound.stdout));
    assert!(
        certificates.iter().all(|certificate| certificate["audit_records"].as_array().unwrap().len() >= 2)
    );
    // No raw id is in any of it.
    for file in ["evidence.json", "kpi_report.html", "siem_exports/actions.json.jsonl"] {
        let content = std::fs::read_to_string(at("pack").join(file)).unwrap();
        assert!(!content.contains("campaign-") && !content.contains("customer-"), "{file}");
    }

    let refused = |why: &str| {
        let output = check().unwrap();
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(why), "{told}");
    };
    std::fs::write(at("pack").join("extra"), "").unwrap();
    refused("there is a file that the manifest does not have");
    std::fs::remove_file(at("pack").join("extra")).unwrap();
    let report = std::fs::read(at("pack").join("kpi_report.html")).unwrap();
    std::fs::write(at("pack").join("kpi_report.html"), [&report[..], b" "].concat()).unwrap();
    refused("a file is not the one of the manifest");
    std::fs::write(at("pack").join("kpi_report.html"), &report).unwrap();
    let manifest = std::fs::read(at("pack").join("manifest.json")).unwrap();
    std::fs::write(at("pack").join("manifest.json"), [&manifest[..], b" "].concat()).unwrap();
    refused("the manifest is not what the operator's key signed");
}

#[test]
fn campaigns_are_shared_in_signed_lines_and_in_others_vocabulary_without_anybodys_raw_id() {
    let place = judged();
    let out = place.directory.path().join("shared");
    let mut share = signing(&place, &["share", "--producer", "Example Ltd", "--tlp", "green"]);
    share.arg("--out").arg(&out);
    let told = text(&success(share).stdout);
    assert!(told.starts_with("1 campaigns, TLP:GREEN: "), "{told}");
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let (stix, lines, list) = (read("stix.json"), read("bundles.jsonl"), read("takedown.csv"));
    // Twelve accounts of the traffic are one campaign.
    assert_eq!((lines.lines().count(), list.lines().count()), (1, 13));
    let stix: serde_json::Value = serde_json::from_str(&stix).unwrap();
    let of = |kind: &str| stix["objects"].as_array().unwrap().iter().filter(|o| o["type"] == kind).count();
    assert_eq!((of("campaign"), of("grouping"), of("identity")), (1, 1, 1));
    assert!(of("indicator") > 0 && of("indicator") == of("sighting"));
    assert!(![&read("stix.json"), &list].iter().any(|text| text.contains("campaign-1")));
    let keys = place.keys_of("auditor");
    let check = |file: &Path| verify(&place, &["lines".as_ref(), file, &keys]);
    let Some(sound) = check(&out.join("bundles.jsonl")) else { return };
    assert_eq!(text(&sound.stdout), "1 lines, each signed by the operator\n");
    let forged = altered(&out.join("bundles.jsonl"), |line| line["payload"] = "e30=".into());
    let refused = check(&forged).unwrap();
    assert!(text(&refused.stderr).contains("line 1 is not what the operator's key signed"));
}
