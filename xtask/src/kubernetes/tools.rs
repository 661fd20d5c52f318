//! Helm, Kustomize, and the definitions of custom resources: fetched and built once, and kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::shell::{output, succeed};
use crate::{debian, dirs, maven};

const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.18.4";
const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.6.0";

/// Of Go 1, the oldest that builds both.
const GO_MINOR_MIN: u32 = 24;

/// Modules with definitions of custom resources, and those that the manifests have.
const DEFINITIONS: &[(&str, &str, &[&str])] = &[
    (
        "github.com/kedacore/keda/v2@v2.21.0",
        "config/crd/bases",
        &["keda.sh_scaledobjects.yaml", "keda.sh_triggerauthentications.yaml"],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd",
        &["monitoring.coreos.com_prometheusrules.yaml", "monitoring.coreos.com_servicemonitors.yaml"],
    ),
];

/// Strimzi writes its own from its classes.
const STRIMZI: &[(&str, &str)] = &[
    ("io.strimzi.api.kafka.model.topic.KafkaTopic", "kafkatopics.yaml"),
    ("io.strimzi.api.kafka.model.user.KafkaUser", "kafkausers.yaml"),
];

/// Where all of it lies.
pub struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// Fetches and builds what is not there.
    ///
    /// # Errors
    /// Without Go, or when something cannot be had.
    pub fn ensure() -> Result<Self> {
        let tools = Self { directory: dirs::cache()?.join("kubernetes") };
        let stamp = tools.directory.join("stamp");
        let wanted = format!("{HELM} {KUSTOMIZE} {DEFINITIONS:?} {STRIMZI:?}");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(tools);
        }
        let compiler = compiler()?;
        // What is there is of other versions, or of an attempt that was cut short.
        if tools.directory.exists() {
            fs::remove_dir_all(&tools.directory)?;
        }
        fs::create_dir_all(tools.definitions_directory())?;
        tools.strimzi()?;
        // Sources and what is compiled of them are not kept: what comes of it is.
        let aside = tempfile::tempdir_in(dirs::cache()?)?;
        let go = |arguments: &[&str]| {
            let mut go = Command::new(&compiler);
            go.args(arguments).current_dir(aside.path()).env("GOBIN", &tools.directory);
            go.env("GOPATH", aside.path().join("path")).env("GOCACHE", aside.path().join("cache"));
            go.env("GOFLAGS", "-modcacherw");
            go
        };
        for (module, place, files) in DEFINITIONS {
            let told = output(go(&["mod", "download", "-json", module]), &format!("cannot fetch {module}"))?;
            let module: Module =
                serde_json::from_slice(&told).context("go says something else than where it is")?;
            for file in *files {
                let from = module.dir.join(place).join(file);
                let text = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
                // Not a copy: Go's are read-only, and so would ours be when this is tried again.
                fs::write(tools.definitions_directory().join(file), text)?;
            }
        }
        for tool in [KUSTOMIZE, HELM] {
            eprintln!("building {tool} ...");
            succeed(go(&["install", tool]), "go install")?;
        }
        fs::write(&stamp, wanted)?;
        Ok(tools)
    }

    /// Helm's program.
    pub fn helm(&self) -> PathBuf {
        self.directory.join("helm")
    }

    /// Kustomize's program.
    pub fn kustomize(&self) -> PathBuf {
        self.directory.join("kustomize")
    }

    /// Every definition's file.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn definitions(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.definitions_directory())?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }

    fn definitions_directory(&self) -> PathBuf {
        self.directory.join("definitions")
    }

    fn strimzi(&self) -> Result<()> {
        let pom: &Path = &dirs::workspace().join("dev/kubernetes/pom.xml");
        let jars = maven::fetch("strimzi", pom, "copy-dependencies")?;
        let mut java = Command::new("java");
        java.arg("-cp").arg(jars.join("*")).args(["io.strimzi.crdgenerator.CrdGenerator", "--yaml"]);
        for (class, file) in STRIMZI {
            java.arg(format!("{class}={}", self.definitions_directory().join(file).display()));
        }
        output(java, "Strimzi does not write its definitions").map(drop)
    }
}

/// Where a Go is that is new enough: on the path, or where its own installer puts it. A distribution's is
/// often older.
fn compiler() -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/local/go/bin/go");
    let is_new_enough = |go: &PathBuf| {
        let said = Command::new(go).args(["env", "GOVERSION"]).output();
        said.is_ok_and(|said| {
            minor(&String::from_utf8_lossy(&said.stdout)).is_some_and(|minor| minor >= GO_MINOR_MIN)
        })
    };
    let found = debian::on_path("go").into_iter().chain([installed]).find(is_new_enough);
    found.with_context(|| {
        format!("Go 1.{GO_MINOR_MIN} or newer is missing, which builds Helm and Kustomize: install it")
    })
}

/// The 24 of `go1.24.3`.
fn minor(version: &str) -> Option<u32> {
    let rest = version.trim().strip_prefix("go1.")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// What `go mod download -json` says.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn a_version_of_go_is_read_as_it_is_written() {
        let versions = ["go1.24.3\n", "go1.26rc1", "go1.9", "devel go1.27-abc", ""];
        assert_eq!(versions.map(minor), [Some(24), Some(26), Some(9), None, None]);
    }
}
