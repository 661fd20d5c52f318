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
                fs::copy(&from, tools.definitions_directory().join(file))
                    .with_context(|| format!("cannot copy {}", from.display()))?;
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

/// Where Go is: on the path, or where its own installer puts it.
fn compiler() -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/local/go/bin/go");
    let found = debian::on_path("go").or_else(|| installed.is_file().then_some(installed));
    found.context("Go 1.24 or newer is missing, which builds Helm and Kustomize: install it")
}

/// What `go mod download -json` says.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    dir: PathBuf,
}
