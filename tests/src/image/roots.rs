//! The certificate authorities of the web, for programs that run where no system brings them.
//!
//! From a crate at a locked version and not from the building machine: the image is the same
//! wherever it is built.

use pem::{EncodeConfig, LineEnding, Pem};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Where Linux programs look for them.
pub const PATH: &str = "/etc/ssl/certs/ca-certificates.crt";

/// All of them in one file.
pub fn bundle() -> String {
    let certificates: Vec<Pem> = TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    pem::encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))
}
