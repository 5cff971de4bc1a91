//! Certificates for tests of TLS.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::ClusterError;
use crate::run::write_private;

/// A new certificate authority and a server certificate that it signed, all in PEM.
///
/// Two of them trust nothing in common: that of another server is one that a client must refuse.
#[derive(Clone)]
pub struct Certificates {
    ca: String,
    certificate: String,
    key: String,
}

impl Certificates {
    /// A server certificate for `localhost` and 127.0.0.1.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Certificate`] when it can't be made.
    pub fn localhost() -> Result<Self, ClusterError> {
        Self::for_names(&["localhost", "127.0.0.1"])
    }

    /// A server certificate for these host names and IP addresses.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Certificate`] when it can't be made, as for a name that is none.
    pub fn for_names(names: &[&str]) -> Result<Self, ClusterError> {
        Self::make(names).map_err(|error| ClusterError::Certificate(error.to_string()))
    }

    fn make(names: &[&str]) -> Result<Self, rcgen::Error> {
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
        Ok(Self { ca, certificate, key: key.serialize_pem() })
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

    /// Writes the authority's certificate into `folder`, as `ca.crt`, and gives its path, for a client's
    /// `sslrootcert`. Servers write their own files: see [`Server::start_from`](crate::Server::start_from).
    ///
    /// # Errors
    ///
    /// [`ClusterError::Io`] when the file can't be written.
    pub fn write_ca(&self, folder: &Path) -> Result<PathBuf, ClusterError> {
        let path = folder.join("ca.crt");
        write_private(&path, self.ca.as_bytes())?;
        Ok(path)
    }
}
