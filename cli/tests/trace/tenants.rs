//! Tracing where tenants are registered: what is traced names none, so the collector says whose it is, or
//! does not start.

use super::*;

/// A registry of these tenants, who chose nothing.
fn registry(bench: &Bench, ids: &[&str]) -> PathBuf {
    let directory = bench.place.directory.path().join("tenants");
    fs::create_dir(&directory).unwrap();
    ids.iter().for_each(|id| fs::write(directory.join(format!("{id}.toml")), "").unwrap());
    directory
}

#[test]
fn what_is_traced_is_the_tenants_that_is_set_and_without_one_nothing_starts() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = bench.server(true);
    let directory = registry(&bench, &["acme", "north"]).display().to_string();
    for (how, expected) in [
        (&[][..], "what is traced names no tenant, and with tenants.dir that is nobody's"),
        (&["--tenant", "stranger"], "stranger"),
    ] {
        let mut command =
            weir(&["run", "--node", "test", "--trace", &server.id(), "--tenants-dir", &directory]);
        command.arg("--data-dir").arg(&bench.place.data).arg("--output-dir").arg(&bench.place.output);
        let output = command.arg("--keys-dir").arg(&bench.place.keys).args(how).output().unwrap();
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(expected), "{told}");
    }

    let of_acme = ["--tenants-dir", &directory, "--tenant", "acme"];
    let tracing = bench.tracing(&server.id(), &of_acme);
    tracing.waits_for(1);
    ask(&port, 0, 25);
    eventually("25 requests are 25 events", || tracing.events() == 25);
    for cause in ["request", "response", "orphan", "anonymous"] {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    tracing.running.stop();

    // The same as of the log that the server wrote, which names no tenant either.
    let (data, output) = bench.place.beside();
    let mut logged = bench.place.run_in(&data, &output);
    success({
        logged.arg("--until-idle").args(of_acme);
        logged
    });
    let (traced, logged) = (seen(&bench.place.data, SourceKind::Uprobe), seen(&data, SourceKind::Tail));
    assert_eq!((traced.len(), &traced), (25, &logged));
    each(&bench.place.data, SourceKind::Uprobe, |event| assert_eq!(event.tenant, "acme"));
    // An account is a tenant's own: of no tenant that is another one's it has the same pseudonym.
    let elsewhere = bench.place.directory.path().join("elsewhere");
    let mut nobodys = bench.place.run_in(&elsewhere.join("data"), &elsewhere.join("output"));
    nobodys.arg("--until-idle").args(["--tenants-dir", &directory, "--tenant", "north"]);
    success(nobodys);
    for (path, of_north) in seen(&elsewhere.join("data"), SourceKind::Tail) {
        assert_ne!(of_north.account, traced[&path].account, "{path}");
    }
}
