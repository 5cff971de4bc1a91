//! Certificates for tests of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use crate::ClusterError;
use crate::run::write_private;

/// A new certificate authority and a server certificate that it signed, all in PEM.
///
/// Two of them trust nothing in common: that of another server is one that a client must refuse. Their files are this
/// process's own, which servers that run as somebody else can't read, and last until the last clone is dropped.
#[derive(Clone)]
pub struct Certificates {
    ca: String,
    certificate: String,
    key: String,
    folder: Arc<TempDir>,
}

impl Certificates {
    /// A server certificate for `localhost` and 127.0.0.1.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Certificate`] when it can't be made, [`ClusterError::Io`] when it can't be written.
    pub fn localhost() -> Result<Self, ClusterError> {
        Self::for_names(&["localhost", "127.0.0.1"])
    }

    /// A server certificate for these host names and IP addresses.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Certificate`] when it can't be made, as for a name that is none, [`ClusterError::Io`] when it can't
    /// be written.
    pub fn for_names(names: &[&str]) -> Result<Self, ClusterError> {
        let (ca, certificate, key) = make(names).map_err(|error| ClusterError::Certificate(error.to_string()))?;
        let folder = tempfile::Builder::new().prefix("ironclaw-certificates-").tempdir();
        let folder = folder.map_err(|error| ClusterError::io("make a folder in", &std::env::temp_dir(), error))?;
        let certificates = Self { ca, certificate, key, folder: Arc::new(folder) };
        write_private(&certificates.ca_file(), certificates.ca.as_bytes())?;
        write_private(&certificates.certificate_file(), certificates.certificate.as_bytes())?;
        write_private(&certificates.key_file(), certificates.key.as_bytes())?;
        Ok(certificates)
    }

    /// The authority's certificate, which clients are told to trust.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The server's certificate.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The server's private key (PKCS #8).
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The path of [`ca`](Self::ca), for a client's `sslrootcert`.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The path of [`certificate`](Self::certificate).
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }

    /// The path of [`key`](Self::key).
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }
}

/// The authority's certificate, the server's, and the server's key.
fn make(names: &[&str]) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let ca = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    server.distinguished_name.push(DnType::CommonName, "Test server");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?.pem();
    Ok((ca, certificate, key.serialize_pem()))
}
