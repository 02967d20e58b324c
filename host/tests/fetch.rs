//! `myopia data fetch` behind the proxies and certificates of companies.
#![cfg(feature = "fetch")]

mod shared;

use std::fs;
use std::process::Command;

use shared::{program, refuses_in_a_sentence as refuses};

/// A download that cannot come about, in an environment without anybody's proxies and certificates.
fn fetch(mirror: &str, folder: &tempfile::TempDir) -> Command {
    let mut command = program(&format!("data fetch --quiet --mirror {mirror} --mnist-dir"));
    command.arg(folder.path());
    for scheme in ["http", "https", "all", "no"] {
        command.env_remove(format!("{scheme}_proxy"));
        command.env_remove(format!("{scheme}_proxy").to_uppercase());
    }
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command
}

/// An address at which nobody listens: the port was free a moment ago.
fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_dead_proxy_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = nobody();
    for (name, mirror) in [
        ("http_proxy", "http://example.invalid/mnist"),
        ("HTTPS_PROXY", "https://example.invalid/mnist"),
        ("ALL_PROXY", "https://example.invalid/mnist"),
    ] {
        let mut command = fetch(mirror, &folder);
        command.env(name, format!("http://user:secret@{proxy}"));
        let said = shared::refuses(&mut command, 1, &["through the proxy", &proxy]);
        assert!(!said.contains("secret"), "{said}");
    }
    let direct = format!("http://{}/mnist", nobody());
    let mut command = fetch(&direct, &folder);
    command.env("http_proxy", format!("http://{proxy}")).env("no_proxy", "127.0.0.1");
    let said = shared::refuses(&mut command, 1, &["could not be downloaded"]);
    assert!(!said.contains("proxy"), "{said}");
}

#[test]
fn a_certificate_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("company.pem");
    let mirror = format!("https://{}/mnist", nobody());
    let with = |certificates: bool| {
        let mut command = fetch(&mirror, &folder);
        command.env("SSL_CERT_FILE", &file);
        if certificates {
            // What a folder holds does not stand in for the file.
            command.env("SSL_CERT_DIR", "/etc/ssl/certs");
        }
        command
    };
    for certificates in [false, true] {
        let words = ["company.pem", "SSL_CERT_FILE", "does not exist"];
        refuses(&mut with(certificates), 1, &words);
    }
    fs::write(&file, "no certificate at all").unwrap();
    for certificates in [false, true] {
        refuses(&mut with(certificates), 1, &["company.pem", "SSL_CERT_FILE", "no certificate"]);
    }
}
