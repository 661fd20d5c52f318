//! TLS of the listener: its own certificate, and clients that prove who they are by theirs.

use super::limits::CLIENT_CERTIFICATES_MAX;
use crate::keys::ensure_private;
use crate::settings::Settings;
use anyhow::{Context as _, Result, bail, ensure};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

const CERT: &str = "listener.cert_file";
const KEY: &str = "listener.key_file";
const CLIENT_CA: &str = "listener.client_ca_file";

/// How connections are made secret; none where the settings name no certificate.
///
/// # Errors
/// When a file is missing, contradicts another, or holds something else. Its name is told, and nothing that it holds.
pub fn acceptor(settings: &Settings) -> Result<Option<TlsAcceptor>> {
    let (certificate, key) = match (&settings.listener_cert_file, &settings.listener_key_file) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => {
            ensure!(
                settings.listener_client_ca_file.is_none(),
                "{CLIENT_CA} is set, and clients prove who they are over TLS only: set {CERT} and {KEY} too"
            );
            return Ok(None);
        }
        _ => bail!("{CERT} and {KEY} go together: one of them is not set"),
    };
    ensure_private(key, KEY)?;
    let chain = certificates(certificate, CERT)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("{KEY} {} holds no private key as PEM", key.display()))?;
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &settings.listener_client_ca_file {
        Some(file) => builder.with_client_cert_verifier(client_verifier(file, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .with_context(|| format!("{CERT} and {KEY} do not make an identity together"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn client_verifier(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, CLIENT_CA)? {
        roots.add(certificate).with_context(|| format!("{CLIENT_CA} {}", file.display()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .with_context(|| format!("{CLIENT_CA} {}", file.display()))
}

fn certificates(file: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>> {
    let shown = || format!("{setting} {}", file.display());
    let read = CertificateDer::pem_file_iter(file).with_context(|| format!("cannot read {}", shown()))?;
    let certificates: Result<Vec<_>, _> = read.take(CLIENT_CERTIFICATES_MAX + 1).collect();
    let certificates = certificates.with_context(|| format!("{} is no PEM", shown()))?;
    ensure!(!certificates.is_empty(), "{} holds no certificate as PEM", shown());
    ensure!(
        certificates.len() <= CLIENT_CERTIFICATES_MAX,
        "{} holds over {CLIENT_CERTIFICATES_MAX} certificates",
        shown()
    );
    Ok(certificates)
}
