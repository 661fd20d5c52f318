//! Whose certificates destinations are believed by.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::sync::Arc;
use thiserror::Error;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Why certificate authorities cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthoritiesError {
    /// Something in it is no PEM.
    #[error("it is no PEM: {0}")]
    NoPem(String),
    /// It holds no certificate.
    #[error("it holds no certificate as PEM")]
    Empty,
    /// A certificate cannot be an authority's.
    #[error("it holds a certificate that is of no use: {0}")]
    Unusable(String),
}

/// Certificate authorities.
#[derive(Debug, Clone)]
pub struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    store: Arc<RootCertStore>,
}

impl Authorities {
    /// Those of a PEM file's content.
    ///
    /// # Errors
    /// When it holds something else.
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthoritiesError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = read.map_err(|error| AuthoritiesError::NoPem(error.to_string()))?;
        if certificates.is_empty() {
            return Err(AuthoritiesError::Empty);
        }
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            let added = store.add(certificate.clone());
            added.map_err(|error| AuthoritiesError::Unusable(error.to_string()))?;
        }
        Ok(Self { certificates, store: Arc::new(store) })
    }

    /// For TLS over a socket of ours.
    pub(super) fn store(&self) -> Arc<RootCertStore> {
        self.store.clone()
    }

    /// For HTTP: whoever they vouch for, and nobody else.
    pub fn config(&self) -> TlsConfig {
        let certificates = self.certificates.iter();
        let certificates: Vec<Certificate<'static>> =
            certificates.map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates))).build()
    }
}
