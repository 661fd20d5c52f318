//! The files of an evidence pack, and the manifest that is signed over them.

use super::certificate::{Certificate, envelope};
use super::course::Course;
use super::report::{Figures, Source, page};
use crate::siem::format::Format;
use crate::siem::notice::of_action;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use thiserror::Error;

const README: &str = include_str!("README.md");

/// Why there is no pack.
#[derive(Debug, Error)]
pub enum PackError {
    /// Nothing was done in that time.
    #[error("no data: no action had an effect from {from_ms} up to {to_ms} (milliseconds since 1970)")]
    NoData {
        /// First moment.
        from_ms: i64,
        /// The moment after the last.
        to_ms: i64,
    },
    /// A file cannot be written as JSON.
    #[error("a file of the pack cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The files of a pack by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pack {
    files: BTreeMap<String, Vec<u8>>,
}

impl Pack {
    /// The files over these effects.
    ///
    /// # Errors
    /// [`PackError::NoData`] where there is no effect.
    pub fn of(source: &Source<'_>, courses: &[Course], secret: &[u8; 32]) -> Result<Self, PackError> {
        let times = |time: fn(&Course) -> i64| courses.iter().map(time).collect::<Vec<i64>>();
        let (mttd_raw, mttr_raw) = (times(Course::detected_after_ms), times(Course::acted_after_ms));
        let (Some(mttd), Some(mttr)) = (Figures::of(&mttd_raw), Figures::of(&mttr_raw)) else {
            return Err(PackError::NoData { from_ms: source.from_ms, to_ms: source.to_ms });
        };
        let mut pack = Self::default();
        let (mut certificates, mut previous) = (Vec::new(), [0; 32]);
        for (number, course) in courses.iter().enumerate() {
            let certificate = Certificate::of(course, source.site, &previous);
            let (bytes, hash) = envelope(&certificate, secret)?;
            previous = hash;
            pack.add(format!("certificates/certificate_{}.json", number + 1), bytes);
            certificates.push(serde_json::to_value(&certificate)?);
        }
        let (done, failed) = source.carried_out;
        let accounts: std::collections::BTreeSet<_> =
            courses.iter().map(|course| course.decided.account).collect();
        let tenants: std::collections::BTreeSet<_> =
            courses.iter().map(|course| &course.decided.tenant).collect();
        let evidence = json!({
            "metadata": { "format": "weir.evidence/1", "site_id": source.site, "from_ms": source.from_ms, "to_ms": source.to_ms },
            "metrics": {
                "mttd": mttd,
                "mttr": mttr,
                "success_rate": done as f64 / (done + failed).max(1) as f64,
                "sample_count": courses.len(),
            },
            "blast_radius": {
                "accounts_acted_on": accounts.len(),
                "accounts_judged": source.accounts_judged,
                "tenants": tenants,
            },
            "certificates": certificates,
            "visualizations": Value::Null,
        });
        pack.add_json("evidence.json", &evidence)?;
        pack.add_json("metrics/mttd_raw.json", &mttd_raw)?;
        pack.add_json("metrics/mttr_raw.json", &mttr_raw)?;
        for format in [Format::Json, Format::Csv, Format::Cef, Format::Ocsf] {
            pack.add(
                format!("siem_exports/actions.{}.{}", format.as_str(), format.extension()),
                told(format, courses),
            );
        }
        pack.add("policy/policy.toml".into(), source.policy.as_bytes().to_vec());
        pack.add("kpi_report.html".into(), page(source, courses, &mttd, &mttr).into_bytes());
        pack.add("README.md".into(), README.as_bytes().to_vec());
        Ok(pack)
    }

    /// Adds a file.
    pub fn add(&mut self, name: String, content: Vec<u8>) {
        self.files.insert(name, content);
    }

    /// Adds a file of JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_json(&mut self, name: &str, value: &impl Serialize) -> Result<(), PackError> {
        let mut bytes = serde_json::to_vec_pretty(value)?;
        bytes.push(b'\n');
        self.add(name.to_owned(), bytes);
        Ok(())
    }

    /// All files with the manifest of them, which is signed over its bytes.
    ///
    /// # Errors
    /// When the manifest cannot be written.
    pub fn signed(mut self, secret: &[u8; 32]) -> Result<Vec<(String, Vec<u8>)>, PackError> {
        let hash = |content: &Vec<u8>| weir_schemas::hex::hex(&Sha256::digest(content));
        let files: BTreeMap<&String, String> =
            self.files.iter().map(|(name, content)| (name, hash(content))).collect();
        let manifest = json!({ "format": "weir.evidence.manifest/1", "files": files });
        self.add_json("manifest.json", &manifest)?;
        let signature = SigningKey::from_bytes(secret).sign(&self.files["manifest.json"]);
        self.add("manifest.sig".into(), format!("{}\n", BASE64.encode(signature.to_bytes())).into_bytes());
        Ok(self.files.into_iter().collect())
    }
}

/// Every transition of the effects, as a SIEM is told.
fn told(format: Format, courses: &[Course]) -> Vec<u8> {
    let mut out = format.header().map(|header| format!("{header}\n").into_bytes()).unwrap_or_default();
    for course in courses {
        for action in [Some(&course.decided), Some(&course.done), course.ended.as_ref()].into_iter().flatten()
        {
            format.write(&of_action(action), &mut out);
            out.push(b'\n');
        }
    }
    out
}
