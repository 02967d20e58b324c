//! Downloading the four MNIST files.
//!
//! A file is kept in memory until its contents are known to be the published ones, and only then
//! put in its place, whole: a failed or interrupted download leaves nothing behind.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::idx::{self, Defect};
use super::pace::{PACE, Pace, Paced};
use super::published::{FILES, Published};
use crate::failure::Failure;
use crate::input::open_regular;
use crate::output::atomic;
use crate::shown;

/// Where the files lie, in the order they are asked.
pub const MIRRORS: [&str; 3] = [
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://raw.githubusercontent.com/fgnt/mnist/master",
];

/// How much longer than its contents a compressed file may be: gzip's own overhead is far less.
const OVERHEAD: u64 = 1 << 16;

/// What to download, and how.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'a> {
    /// The folder to put the files in; created if need be.
    pub folder: &'a Path,
    /// The address to ask instead of [`MIRRORS`]; the file's name is appended to it.
    pub mirror: Option<&'a str>,
    /// Whether a well-formed file with other contents, under a published name, may be replaced.
    pub force: bool,
    /// Whether to show a progress bar on stderr (none is shown where stderr is no terminal).
    pub progress: bool,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was there already, with the published contents.
    Kept(PathBuf),
    /// It was downloaded.
    Installed(PathBuf),
}

impl Fetch<'_> {
    /// Brings the four published files into the folder. `note` receives one sentence whenever a
    /// mirror fails and the next one is asked.
    ///
    /// # Errors
    /// One sentence: a mirror that is no address, a file that no mirror delivers, one that may not
    /// be replaced, or a folder that cannot be written to. Files brought before stay.
    pub fn run(&self, note: &mut dyn FnMut(&str)) -> Result<Vec<Outcome>, Failure> {
        self.run_for(&FILES, &MIRRORS, PACE, note)
    }

    fn run_for(
        &self,
        files: &[Published],
        mirrors: &[&str],
        pace: Pace,
        note: &mut dyn FnMut(&str),
    ) -> Result<Vec<Outcome>, Failure> {
        let own = self.mirror.as_slice();
        let mut mirrors = if own.is_empty() { mirrors } else { own }.to_vec();
        for mirror in &mirrors {
            if !mirror.starts_with("http://") && !mirror.starts_with("https://") {
                return Err(Failure::usage(format!(
                    "--mirror {mirror} is not an address; give one that begins with https:// or http://"
                )));
            }
        }
        fs::create_dir_all(self.folder)
            .map_err(|e| Failure::io("create the folder", self.folder, &e))?;
        let client = Client::new(pace)?;
        let mut outcomes = Vec::with_capacity(files.len());
        for file in files {
            outcomes.push(match self.present(file)? {
                Some(path) => Outcome::Kept(path),
                None => {
                    let archive = self.ask(&client, file, &mut mirrors, note)?;
                    let path = self.folder.join(file.archive());
                    atomic::write(&path, |w| w.write_all(&archive))
                        .map_err(|e| Failure::io("write", &path, &e))?;
                    Outcome::Installed(path)
                }
            });
        }
        Ok(outcomes)
    }

    /// The file in the folder when its contents are the published ones; none when it is absent or
    /// damaged.
    fn present(&self, file: &Published) -> Result<Option<PathBuf>, Failure> {
        let Some(path) = file.find(self.folder)? else {
            return Ok(None);
        };
        let source = open_regular(&path).map_err(|e| Failure::io("read", &path, &e))?;
        match idx::decode(source, file.kind) {
            Ok(contents) if contents.sha256 == file.sha256 => Ok(Some(path)),
            // Fashion-MNIST and others come under the same names: somebody may need them.
            Ok(_) if !self.force && path == self.folder.join(file.archive()) => {
                Err(Failure::run(format!(
                    "{} is well-formed but not the published MNIST file; pass --force to replace it or fetch into \
                     another folder",
                    path.display()
                )))
            }
            Err(Defect::Io(e)) => Err(Failure::io("read", &path, &e)),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// The compressed file from the first mirror that delivers the published contents. Mirrors that
    /// failed go to the end, so that the next file is not kept waiting by them.
    fn ask(
        &self,
        client: &Client,
        file: &Published,
        mirrors: &mut [&str],
        note: &mut dyn FnMut(&str),
    ) -> Result<Vec<u8>, Failure> {
        for left in (0..mirrors.len()).rev() {
            let url = format!("{}/{}", mirrors[0].trim_end_matches('/'), file.archive());
            let problem = match self.download(client, file, &url) {
                Ok(archive) => return Ok(archive),
                Err(problem) => problem,
            };
            mirrors.rotate_left(1);
            if left == 0 {
                return Err(Failure::run(format!(
                    "{url} {problem}, and no mirror is left; check the network connection or name a mirror with \
                     --mirror"
                )));
            }
            note(&format!("{url} {problem}; asking {}", mirrors[0]));
        }
        unreachable!("there is at least one mirror")
    }

    /// The compressed file at `url`, its contents checked; else a predicate that says what is wrong
    /// with it.
    fn download(&self, client: &Client, file: &Published, url: &str) -> Result<Vec<u8>, String> {
        let proxy = client.proxy_for(url);
        let broken = |e: &dyn std::fmt::Display| {
            let e = shown::name(&e.to_string());
            match &proxy {
                None => format!("could not be downloaded ({e})"),
                Some(proxy) => format!("could not be downloaded through the proxy {proxy} ({e})"),
            }
        };
        let response = client.agent.get(url).call().map_err(|e| match e {
            ureq::Error::StatusCode(status) => format!("was answered with HTTP status {status}"),
            e => broken(&e),
        })?;
        let body = response.into_body();
        let announced = body.content_length();
        let bar = self.bar(&file.archive(), announced);
        let limit = file.bytes + OVERHEAD;
        let mut archive = Vec::new();
        let paced = Paced::new(body.into_reader(), client.pace);
        let read = bar.wrap_read(paced).take(limit + 1).read_to_end(&mut archive);
        bar.finish_and_clear();
        match read {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(format!("broke off after {} bytes", archive.len()));
            }
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                return Err(format!("comes too slowly ({e})"));
            }
            Err(e) => return Err(broken(&e)),
            Ok(_) if archive.len() as u64 > limit => {
                return Err("is larger than the published file".into());
            }
            Ok(_) => {}
        }
        if !idx::is_gzip(&archive) {
            return Err("is not a gzip file".into());
        }
        match idx::decode_up_to(&archive[..], file.kind, file.bytes) {
            Ok(contents) if contents.sha256 == file.sha256 => Ok(archive),
            Ok(contents) => Err(format!(
                "is not the published file (SHA-256 of its contents {}, published {})",
                contents.sha256, file.sha256
            )),
            Err(defect) => Err(defect.to_string()),
        }
    }

    fn bar(&self, name: &str, len: Option<u64>) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        let (bar, template) = match len {
            Some(len) => (
                ProgressBar::new(len),
                "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
            ),
            None => (ProgressBar::no_length(), "{msg} {spinner} {bytes} {bytes_per_sec}"),
        };
        let style = ProgressStyle::with_template(template).expect("a well-formed template");
        bar.with_style(style.progress_chars("=> ")).with_message(name.to_string())
    }
}

/// Who asks, and how long it waits.
struct Client {
    agent: Agent,
    pace: Pace,
    proxy: Option<Proxy>,
}

impl Client {
    /// A client that gives up on a silent or a dripping server instead of hanging. It goes through
    /// the proxy that the environment names, and trusts whom the system trusts.
    fn new(pace: Pace) -> Result<Self, Failure> {
        let silence = Some(pace.window);
        let proxy = Proxy::try_from_env();
        let agent = Agent::config_builder()
            .timeout_resolve(silence)
            .timeout_connect(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .timeout_global(Some(2 * pace.overall))
            .proxy(proxy.clone())
            .tls_config(TlsConfig::builder().root_certs(roots()?).build())
            .user_agent(concat!("myopia/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, pace, proxy })
    }

    /// The proxy that `url` is asked for through, without the password that may be in its address.
    fn proxy_for(&self, url: &str) -> Option<String> {
        let proxy = self.proxy.as_ref()?;
        let direct = url.parse::<Uri>().is_ok_and(|uri| proxy.is_no_proxy(&uri));
        (!direct).then(|| format!("{}:{}", proxy.host(), proxy.port()))
    }
}

/// Whom to trust: those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else those of the system,
/// else those that browsers do.
fn roots() -> Result<RootCerts, Failure> {
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        let path = Path::new(&file);
        // Whatever a folder of certificates holds besides, who names a file means it.
        open_regular(path).map_err(|e| Failure::io("read what SSL_CERT_FILE names,", path, &e))?;
        if rustls_native_certs::load_certs_from_paths(Some(path), None).certs.is_empty() {
            return Err(Failure::run(format!(
                "{}, which SSL_CERT_FILE names, holds no certificate in PEM; correct it or unset it",
                path.display()
            )));
        }
    }
    let given =
        ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().find(|name| std::env::var_os(name).is_some());
    let found = rustls_native_certs::load_native_certs();
    let certificates: Vec<Certificate<'static>> =
        found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    match given {
        _ if !certificates.is_empty() => Ok(RootCerts::new_with_certs(&certificates)),
        Some(name) => {
            let why = found.errors.first().map(|e| format!(" ({e})")).unwrap_or_default();
            Err(Failure::run(format!(
                "no certificate could be read from where {name} says{why}; correct it or unset it"
            )))
        }
        None => Ok(RootCerts::WebPki),
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
