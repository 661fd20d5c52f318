//! The destinations that the settings name.

use crate::context::Context;
use crate::keys::ensure_private;
use crate::settings::{Settings, SiemFormat};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use weir_enforcer::limits::SIEM_WAIT;
use weir_enforcer::siem::destination::elasticsearch::ElasticsearchDestination;
use weir_enforcer::siem::destination::files::{FilesDestination, Keeping};
use weir_enforcer::siem::destination::hec::HecDestination;
use weir_enforcer::siem::destination::http::Endpoint;
use weir_enforcer::siem::destination::otlp::OtlpDestination;
use weir_enforcer::siem::destination::syslog::SyslogDestination;
use weir_enforcer::siem::destination::tls::Authorities;
use weir_enforcer::siem::destination::{Destination, DestinationKind};
use weir_enforcer::siem::format::Format;
use zeroize::Zeroizing;

/// A destination, and what is needed to make it, as often as the exporter starts over.
pub enum Choice {
    /// Files of this machine.
    Files { directory: PathBuf, format: Format, keeping: Keeping },
    /// A receiver of syslog; with authorities over TLS.
    Syslog { address: String, authorities: Option<Authorities>, format: Format, host: String },
    /// Splunk's HTTP Event Collector.
    Hec { server: Server, format: Format, host: String, index: Option<String> },
    /// Elasticsearch or OpenSearch.
    Elasticsearch { server: Server, index: String },
    /// A collector of OpenTelemetry's traces.
    Otlp { server: Server, host: String, share_permille: u64 },
}

/// A server over HTTP.
pub struct Server {
    url: String,
    authorization: Option<Zeroizing<String>>,
    authorities: Option<Authorities>,
}

impl Server {
    fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.url, self.authorization.clone(), self.authorities.as_ref(), SIEM_WAIT)
    }
}

impl Choice {
    /// Its kind.
    pub fn kind(&self) -> DestinationKind {
        match self {
            Self::Files { .. } => DestinationKind::Files,
            Self::Syslog { .. } => DestinationKind::Syslog,
            Self::Hec { .. } => DestinationKind::Hec,
            Self::Elasticsearch { .. } => DestinationKind::Elasticsearch,
            Self::Otlp { .. } => DestinationKind::Otlp,
        }
    }

    /// Makes it.
    pub fn make(&self) -> Result<Box<dyn Destination>> {
        match self {
            Self::Files { directory, format, keeping } => {
                let shown = directory.display();
                let opened = FilesDestination::open(directory, *format, *keeping)
                    .with_context(|| format!("export.files_dir {shown} cannot be used"))?;
                let files = opened.with_context(|| {
                    format!("another process writes export.files_dir {shown}: give each its own")
                })?;
                Ok(Box::new(files))
            }
            Self::Syslog { address, authorities, format, host } => {
                let made = SyslogDestination::new(address, authorities.as_ref(), *format, host, SIEM_WAIT);
                Ok(Box::new(made.with_context(|| format!("export.syslog {address}"))?))
            }
            Self::Hec { server, format, host, index } => {
                Ok(Box::new(HecDestination::new(server.endpoint(), *format, host, index.as_deref())))
            }
            Self::Elasticsearch { server, index } => {
                Ok(Box::new(ElasticsearchDestination::new(server.endpoint(), index)))
            }
            Self::Otlp { server, host, share_permille } => {
                Ok(Box::new(OtlpDestination::new(server.endpoint(), host, *share_permille)))
            }
        }
    }
}

/// Those that the settings name.
pub fn chosen(context: &Context) -> Result<Vec<Choice>> {
    let (settings, host) = (&context.settings, context.node());
    let authorities = settings.export_ca_file.as_deref().map(authorities).transpose()?;
    let mut choices = Vec::new();
    if let Some(directory) = &settings.export_files_dir {
        let (bytes_max, kept) = (settings.export_files_bytes_max, settings.export_files_kept);
        choices.push(Choice::Files {
            directory: directory.clone(),
            format: format(settings.export_files_format),
            keeping: Keeping { bytes_max, kept },
        });
    }
    if let Some(receiver) = &settings.export_syslog {
        choices.push(syslog(receiver, authorities.as_ref(), settings, &host)?);
    }
    if let Some(url) = &settings.export_hec_url {
        let file = settings.export_hec_token_file.as_deref();
        let file = file.context("export.hec_url needs export.hec_token_file")?;
        let token = secret(file, "export.hec_token_file")?;
        let authorization = Some(Zeroizing::new(format!("Splunk {}", token.as_str())));
        choices.push(Choice::Hec {
            server: server(url, "export.hec_url", authorization, authorities.clone())?,
            format: format(settings.export_hec_format),
            host: host.clone(),
            index: settings.export_hec_index.clone(),
        });
    }
    if let Some(url) = &settings.export_elasticsearch_url {
        let file = settings.export_elasticsearch_auth_file.as_deref();
        let authorization = file.map(|file| secret(file, "export.elasticsearch_auth_file")).transpose()?;
        choices.push(Choice::Elasticsearch {
            server: server(url, "export.elasticsearch_url", authorization, authorities.clone())?,
            index: settings.export_elasticsearch_index.clone(),
        });
    }
    if let Some(url) = &settings.export_otlp_url {
        let file = settings.export_otlp_auth_file.as_deref();
        let authorization = file.map(|file| secret(file, "export.otlp_auth_file")).transpose()?;
        choices.push(Choice::Otlp {
            server: server(url, "export.otlp_url", authorization, authorities)?,
            host,
            share_permille: settings.export_otlp_share_permille,
        });
    }
    Ok(choices)
}

fn syslog(
    receiver: &str,
    authorities: Option<&Authorities>,
    settings: &Settings,
    host: &str,
) -> Result<Choice> {
    let (address, authorities) = match receiver.split_once("://") {
        Some(("tcp", address)) => (address, None),
        Some(("tls", address)) => {
            let authorities = authorities.context("export.syslog over tls:// needs export.ca_file")?;
            (address, Some(authorities.clone()))
        }
        _ => bail!("export.syslog is {receiver:?}: give tcp://host:port or tls://host:port"),
    };
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    ensure!(port.is_some(), "export.syslog is {receiver:?}: it lacks its port");
    let format = format(settings.export_syslog_format);
    Ok(Choice::Syslog { address: address.to_owned(), authorities, format, host: host.to_owned() })
}

/// A server to which a credential may be sent: over TLS, or on this machine.
fn server(
    url: &str,
    setting: &str,
    authorization: Option<Zeroizing<String>>,
    authorities: Option<Authorities>,
) -> Result<Server> {
    let (scheme, rest) = url.split_once("://").with_context(|| format!("{setting} is no URL"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    ensure!(!authority.contains('@'), "{setting} holds a credential: it belongs into a file");
    let is_here = ["127.0.0.1", "localhost", "[::1]"].iter().any(|here| {
        authority.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    });
    match scheme {
        "https" => {}
        "http" if is_here || authorization.is_none() => {}
        "http" => bail!("{setting} would send its credential over a network in clear text: give https://"),
        _ => bail!("{setting} is no http:// or https:// URL"),
    }
    Ok(Server { url: url.to_owned(), authorization, authorities })
}

/// What a file holds that only its owner can read, without the line's end.
fn secret(file: &Path, setting: &str) -> Result<Zeroizing<String>> {
    ensure_private(file, setting)?;
    let text = std::fs::read_to_string(file).with_context(|| format!("{setting} {}", file.display()))?;
    let text = Zeroizing::new(text);
    let secret = text.trim();
    ensure!(
        !secret.is_empty() && secret.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{setting} {} must hold one line of printable ASCII",
        file.display()
    );
    Ok(Zeroizing::new(secret.to_owned()))
}

fn authorities(file: &Path) -> Result<Authorities> {
    let shown = || format!("export.ca_file {}", file.display());
    let pem = std::fs::read(file).with_context(shown)?;
    Authorities::from_pem(&pem).with_context(shown)
}

fn format(format: SiemFormat) -> Format {
    match format {
        SiemFormat::Json => Format::Json,
        SiemFormat::Csv => Format::Csv,
        SiemFormat::Cef => Format::Cef,
        SiemFormat::Leef => Format::Leef,
        SiemFormat::Ocsf => Format::Ocsf,
        SiemFormat::Ecs => Format::Ecs,
    }
}
