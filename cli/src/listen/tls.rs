//! TLS of a server: its own certificate, and clients that prove who they are by theirs.

use super::limits::CLIENT_CERTIFICATES_MAX;
use crate::keys::ensure_private;
use anyhow::{Context as _, Result, bail, ensure};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A file, where the settings name one, and the key that names it.
type Named<'s> = (&'static str, Option<&'s Path>);

/// What the settings say.
pub struct Files<'s> {
    /// The server's certificate and its chain.
    pub certificate: Named<'s>,
    /// The key of that certificate.
    pub key: Named<'s>,
    /// The authorities that vouch for clients.
    pub client_authorities: Named<'s>,
}

/// How connections are made secret, and what is then spoken by them; none where the settings name no
/// certificate.
///
/// # Errors
/// When a file is missing, contradicts another, or holds something else. Its name is told, and nothing that
/// it holds.
pub fn acceptor(files: &Files<'_>, protocols: &[&[u8]]) -> Result<Option<TlsAcceptor>> {
    let ((cert_setting, certificate), (key_setting, key)) = (files.certificate, files.key);
    let (ca_setting, client_authorities) = files.client_authorities;
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => {
            ensure!(
                client_authorities.is_none(),
                "{ca_setting} is set, and clients prove who they are over TLS only: set {cert_setting} and {key_setting} too"
            );
            return Ok(None);
        }
        _ => bail!("{cert_setting} and {key_setting} go together: one of them is not set"),
    };
    ensure_private(key, key_setting)?;
    let chain = certificates(certificate, cert_setting)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("{key_setting} {} holds no private key as PEM", key.display()))?;
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match client_authorities {
        Some(file) => builder.with_client_cert_verifier(client_verifier(file, ca_setting, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .with_context(|| format!("{cert_setting} and {key_setting} do not make an identity together"))?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn client_verifier(
    file: &Path,
    setting: &str,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, setting)? {
        roots.add(certificate).with_context(|| format!("{setting} {}", file.display()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .with_context(|| format!("{setting} {}", file.display()))
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
