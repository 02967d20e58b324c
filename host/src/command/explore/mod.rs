//! `myopia explore`: short-horizon bias in a browser.

mod server;

use clap::Args;
use serde::Serialize;

use self::server::Server;
use super::options::Common;
use super::values::whole_up_to;
use myopia::failure::Failure;
use myopia::interrupt;
use myopia::output::{OutputFolder, json, standard};
use myopia::shown;

/// Options of `myopia explore`.
#[derive(Args, Debug)]
pub struct Options {
    /// Port of 127.0.0.1 on which the page is served [default: a free one]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true,
          value_parser = whole_up_to::<u16>(u16::MAX.into()))]
    port: Option<u16>,
}

/// The page that `host/web/build` builds: HTML, script, styles and WebAssembly in one file.
const PAGE: &[u8] = include_bytes!("../../../web/dist/index.html");

/// The page's file in --out.
const FILE: &str = "index.html";

/// Where the page is, as JSON.
#[derive(Serialize)]
struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match &common.out {
            Some(_) if self.port.is_some() => {
                Err(Failure::usage("--out writes the page and --port serves it; give one of them"))
            }
            Some(out) => {
                let folder = OutputFolder::create(out, common.force)?;
                folder.write(FILE, |w| w.write_all(PAGE))?;
                folder.finish()?;
                let path = folder.path().join(FILE);
                if common.json {
                    let page = path.to_string_lossy();
                    return json::print(&Place { page: Some(&page), address: None });
                }
                standard::print(|out| {
                    writeln!(
                        out,
                        "{}: open it in a browser; it needs nothing else",
                        shown::path(&path)
                    )
                })
            }
            None => self.serve(common),
        }
    }

    fn serve(&self, common: &Common) -> Result<(), Failure> {
        let server = Server::bind(self.port.unwrap_or(0)).map_err(|e| {
            let port = self.port.map_or("a port".into(), |port| format!("--port {port}"));
            Failure::run(format!(
                "could not serve on 127.0.0.1, {port}: {e}; name another --port, or write the page with --out"
            ))
        })?;
        interrupt::listen()?;
        let address = format!("http://{}/", server.address());
        if common.json {
            json::print(&Place { page: None, address: Some(&address) })?;
        } else {
            standard::print(|out| writeln!(out, "{address}"))?;
            common.remark("open that address in a browser on this machine; Ctrl-C ends");
        }
        server.serve(PAGE, interrupt::is_asked);
        Ok(())
    }
}
