//! TLS, for clients and between nodes.

use super::{COUNT, FLAG, PORT, SECRET, TEXT, choice, family};
use crate::value::{Secret, choices};

choices! {
    /// Whether clients must show a certificate.
    TlsAuthClients {
        /// They are not asked.
        No = "no",
        /// They must.
        Yes = "yes",
        /// Certificates that they show are checked.
        Optional = "optional",
    }
}

/// Why nothing may ask for encryption.
const NO_TLS: &str = "TLS is not available in this version: nothing would be encrypted";

family! {
    /// TLS, for clients and between nodes.
    Tls in tls {
        /// TLS port to listen on; 0: none.
        port: u16 = 0, "tls-port", PORT.protects(NO_TLS);
        /// File of the server's certificate.
        cert_file: String = String::new(), "tls-cert-file", TEXT;
        /// File of the server's private key.
        key_file: String = String::new(), "tls-key-file", TEXT;
        /// Password of the private key.
        key_file_pass: Secret = Secret::default(), "tls-key-file-pass", SECRET;
        /// File of the certificate for outgoing connections; empty: the server's.
        client_cert_file: String = String::new(), "tls-client-cert-file", TEXT;
        /// File of the private key for outgoing connections.
        client_key_file: String = String::new(), "tls-client-key-file", TEXT;
        /// Password of the private key for outgoing connections.
        client_key_file_pass: Secret = Secret::default(), "tls-client-key-file-pass", SECRET;
        /// File of Diffie-Hellman parameters, for old protocols.
        dh_params_file: String = String::new(), "tls-dh-params-file", TEXT;
        /// File of trusted authorities.
        ca_cert_file: String = String::new(), "tls-ca-cert-file", TEXT;
        /// Directory of trusted authorities.
        ca_cert_dir: String = String::new(), "tls-ca-cert-dir", TEXT;
        /// Whether clients must show a certificate.
        auth_clients: TlsAuthClients = TlsAuthClients::Yes,
            "tls-auth-clients", choice(TlsAuthClients::WORDS);
        /// Use TLS towards a primary.
        replication: bool = false, "tls-replication", FLAG.protects(NO_TLS);
        /// Use TLS on the cluster bus.
        cluster: bool = false, "tls-cluster", FLAG.protects(NO_TLS);
        /// Protocol versions, such as "TLSv1.2 TLSv1.3"; empty: the library's choice.
        protocols: String = String::new(), "tls-protocols", TEXT;
        /// Cipher suites up to TLS 1.2; empty: the library's choice.
        ciphers: String = String::new(), "tls-ciphers", TEXT;
        /// Cipher suites of TLS 1.3; empty: the library's choice.
        ciphersuites: String = String::new(), "tls-ciphersuites", TEXT;
        /// Choose the cipher by the server's order.
        prefer_server_ciphers: bool = false, "tls-prefer-server-ciphers", FLAG;
        /// Resume sessions.
        session_caching: bool = true, "tls-session-caching", FLAG;
        /// Sessions remembered; 0: without limit.
        session_cache_size: u32 = 20_480, "tls-session-cache-size", COUNT;
        /// Seconds that a session is remembered.
        session_cache_timeout: u32 = 300, "tls-session-cache-timeout", COUNT;
    }
}
