//! The server's certificate: given by path, or made at the first start and kept.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use x509_cert::der::Decode as _;

const CERTIFICATE_FILE: &str = "rdp-cert.pem";
const KEY_FILE: &str = "rdp-key.pem";

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}: give a PEM file that this user may read", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}: choose another state directory, or make this one writable", path = .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {what} in PEM form: check that certificate and key are not mixed up", path = .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The key is not the certificate's, or of a kind that cannot be used.
    #[error("{certificate} and {key} cannot be used together: {source}", certificate = .certificate.display(), key = .key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}: give one by path")]
    Make(#[from] rcgen::Error),
}

/// What a TLS server needs, and the public key that NLA binds the login to.
#[derive(Clone)]
pub struct ServerCertificate {
    pub(super) tls: Arc<ServerConfig>,
    /// The subjectPublicKey of the certificate (MS-CSSP 2.2.1, pubKeyAuth).
    pub(super) public_key: Arc<[u8]>,
    path: PathBuf,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ServerCertificate {
    /// The certificate (and chain) and key in these two PEM files.
    ///
    /// # Errors
    /// [`CertificateError`]: unreadable, not PEM, or not a pair.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = |path: &Path| fs::read(path).map_err(|source| CertificateError::Read { path: path.into(), source });
        let content = |path: &Path, what| CertificateError::Content { path: path.into(), what };

        let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|_| content(certificate, "certificate"))?;
        let leaf = chain.first().ok_or_else(|| content(certificate, "certificate"))?;
        let public_key = public_key(leaf).ok_or_else(|| content(certificate, "certificate"))?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| content(key, "private key"))?;

        let pair = |source| CertificateError::Pair { certificate: certificate.into(), key: key.into(), source };
        let mut tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(pair)?;
        // A session that is resumed would save nothing that matters once per connection.
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { tls: Arc::new(tls), public_key: public_key.into(), path: certificate.into() })
    }

    /// The self-signed certificate that is kept in `state_dir`; made, with the folder, where there is none yet. RSA,
    /// because every RDP client takes it. The key is readable for this user alone.
    ///
    /// # Errors
    /// [`CertificateError`]: the folder cannot be written, or what is there cannot be used.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, CertificateError> {
        let (certificate, key) = (state_dir.join(CERTIFICATE_FILE), state_dir.join(KEY_FILE));
        if !(certificate.exists() && key.exists()) {
            create(state_dir, &certificate, &key)?;
        }
        Self::from_files(&certificate, &key)
    }

    /// Where the certificate lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn create(state_dir: &Path, certificate: &Path, key: &Path) -> Result<(), CertificateError> {
    let write_error = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CertificateError::Write { path, source }
    };
    fs::create_dir_all(state_dir).map_err(write_error(state_dir))?;

    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() || !host.is_ascii() { "localhost" } else { host };
    let key_pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, host);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let made = params.self_signed(&key_pair)?;

    // The certificate comes last: until it is there, the pair counts as not made, and a start that was cut short
    // leaves nothing behind that the next one would take for a pair.
    match fs::remove_file(certificate) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write_error(certificate)(error)),
        _ => {}
    }
    write_whole(key, key_pair.serialize_pem().as_bytes(), 0o600).map_err(write_error(key))?;
    write_whole(certificate, made.pem().as_bytes(), 0o644).map_err(write_error(certificate))
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".new");
    let part = PathBuf::from(part);
    // One that was left behind may have other permissions.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)
}

fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let key = certificate.tbs_certificate().subject_public_key_info().subject_public_key.as_bytes()?;
    Some(key.to_vec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_certificate_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state/soundpost");
        let first = ServerCertificate::load_or_create(&state).unwrap();
        let mode = fs::metadata(state.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = ServerCertificate::load_or_create(&state).unwrap();
        assert_eq!(first.public_key, second.public_key);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 2, "nothing else is left behind");

        fs::remove_file(state.join(KEY_FILE)).unwrap();
        let third = ServerCertificate::load_or_create(&state).unwrap();
        assert_ne!(first.public_key, third.public_key, "a pair with a half missing is made anew");
    }

    #[test]
    fn bad_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let state = dir.path().join(name);
            ServerCertificate::load_or_create(&state).unwrap();
            (state.join(CERTIFICATE_FILE), state.join(KEY_FILE))
        };
        let (one, two) = (made("one"), made("two"));
        let error = |certificate: &Path, key: &Path| {
            let error = ServerCertificate::from_files(certificate, key).unwrap_err();
            assert!(!error.to_string().contains('\n'));
            error
        };
        assert!(matches!(error(&dir.path().join("none"), &one.1), CertificateError::Read { .. }));
        assert!(matches!(error(&one.1, &one.0), CertificateError::Content { what: "certificate", .. }));
        assert!(matches!(error(&one.0, &one.0), CertificateError::Content { what: "private key", .. }));
        assert!(matches!(error(&one.0, &two.1), CertificateError::Pair { .. }));
        fs::write(dir.path().join("file"), "x").unwrap();
        let inside = ServerCertificate::load_or_create(&dir.path().join("file/inside"));
        assert!(matches!(inside, Err(CertificateError::Write { .. })));
    }
}
