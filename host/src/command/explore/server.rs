//! The explorer's server: one page on the loopback interface.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use tiny_http::{Header, Method, Request, Response, StatusCode};

/// How often the server looks whether it is to stop.
const PAUSE: Duration = Duration::from_millis(50);

/// What every answer says of itself besides its type and its length.
const HEADERS: [(&str, &str); 5] = [
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
];

/// The page on a port of 127.0.0.1.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds `port` of 127.0.0.1, or a free one when it is 0.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// What accepts connections, until that fails once.
    fn accepting(&self) -> io::Result<tiny_http::Server> {
        let listener = self.listener.try_clone()?;
        tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)
    }

    /// The address of the loopback interface and the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `page` until `stop` says so; answers on their way then end with the process.
    ///
    /// While there are as many connections as the system allows, others wait.
    ///
    /// # Errors
    /// When the system does not let it begin.
    pub fn serve(&self, page: &'static [u8], stop: impl Fn() -> bool) -> io::Result<()> {
        let mut http = Some(self.accepting()?);
        while !stop() {
            let received = http.as_ref().map(|http| http.recv_timeout(PAUSE));
            let request = match received {
                Some(Ok(Some(request))) => request,
                Some(Ok(None)) => continue,
                // No file descriptor was left for a connection, after which nothing is accepted.
                Some(Err(_)) | None => {
                    thread::sleep(PAUSE);
                    http = self.accepting().ok();
                    continue;
                }
            };
            let answer = answer(&request, page, self.address.port());
            // A browser that does not read must not keep this loop from hearing Ctrl-C. One that
            // goes away while it is answered is no failure, and one for whom there is no thread is
            // told so by the end of its connection.
            let _ = thread::Builder::new().spawn(move || request.respond(answer));
        }
        Ok(())
    }
}

fn answer(request: &Request, page: &'static [u8], port: u16) -> Response<&'static [u8]> {
    let path = request.url().split('?').next();
    let refused = |status, sentence: &'static str| (status, "text/plain", sentence.as_bytes());
    let (status, kind, body) = match request.method() {
        // Another site's page may reach this port under a name of its own (DNS rebinding).
        _ if !is_own_host(request.headers(), port) => {
            refused(403, "This page is served as 127.0.0.1 and localhost alone.\n")
        }
        Method::Get | Method::Head if matches!(path, Some("/" | "/index.html")) => {
            (200, "text/html", page)
        }
        Method::Get | Method::Head => refused(404, "There is one page here: /\n"),
        _ => refused(405, "Ask for this page with GET.\n"),
    };
    let kind = format!("{kind}; charset=utf-8");
    let headers = HEADERS.into_iter().chain([("Content-Type", kind.as_str())]);
    let headers =
        headers.filter_map(|(name, value)| Header::from_bytes(name, value).ok()).collect();
    Response::new(StatusCode(status), headers, body, Some(body.len()), None)
        // With its length, not in chunks.
        .with_chunked_threshold(usize::MAX)
}

/// Whether there is one Host header and it names this server.
fn is_own_host(headers: &[Header], port: u16) -> bool {
    let mut hosts = headers.iter().filter(|header| header.field.equiv("Host"));
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    ["127.0.0.1", "localhost"].into_iter().any(|name| {
        let host = host.value.as_str();
        host.eq_ignore_ascii_case(&format!("{name}:{port}"))
            || port == 80 && host.eq_ignore_ascii_case(name)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// What the server says to this request and to one that asks it to close the connection.
    fn said(server: &Server, first_line: &str, headers: &[&str]) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "{first_line}\r\nConnection: close\r\n").unwrap();
        for header in headers {
            // In pieces, as a network may bring it.
            let (half, rest) = header.split_at(header.len() / 2);
            let _ = stream.write_all(half.as_bytes());
            let _ = write!(stream, "{rest}\r\n");
        }
        let _ = stream.write_all(b"\r\n");
        // A server that has heard enough of a bad request resets the connection after its answer.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    /// Stops the server also when an assertion fails.
    struct Stops<'a>(&'a AtomicBool);

    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_page_is_given_to_this_machine_under_its_own_names_alone() {
        let server = Server::bind(0).unwrap();
        assert!(server.address().ip().is_loopback());
        let port = server.address().port();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stops = Stops(&stop);
            scope.spawn(|| server.serve(b"a page", || stop.load(Ordering::Relaxed)).unwrap());
            let (own, page) = (format!("Host: 127.0.0.1:{port}"), "GET / HTTP/1.1");
            for host in [&own, &format!("host: LOCALHOST:{port}")] {
                let answer = said(&server, page, &[host]);
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                assert!(answer.contains("Content-Length: 6\r\n"), "{answer}");
                assert!(answer.contains("Content-Type: text/html; charset=utf-8\r\n"), "{answer}");
                assert!(answer.ends_with("\r\n\r\na page"), "{answer}");
                for (name, value) in HEADERS {
                    assert!(answer.contains(&format!("{name}: {value}\r\n")), "{name}: {answer}");
                }
            }
            let foreign = format!("Host: evil.example:{port}");
            let other_port = format!("Host: 127.0.0.1:{}", port ^ 1);
            for (first_line, headers, status) in [
                (page, &[foreign.as_str()][..], 403),
                (page, &[&other_port], 403),
                (page, &["Host: 127.0.0.1"], 403),
                (page, &[&own, &foreign], 403),
                (page, &[], 403),
                ("POST / HTTP/1.1", &[&foreign], 403),
                ("GET /other HTTP/1.1", &[&own], 404),
                ("POST / HTTP/1.1", &[&own], 405),
                ("nonsense", &[&own], 400),
            ] {
                let answer = said(&server, first_line, headers);
                let expected = format!("HTTP/1.1 {status} ");
                assert!(answer.starts_with(&expected), "{first_line} {headers:?}: {answer}");
                assert!(!answer.contains("a page"), "{answer}");
            }
            let head = said(&server, "HEAD /?x HTTP/1.1", &[&own]);
            assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        });
    }

    #[test]
    fn a_browser_that_does_not_read_holds_nothing_up() {
        static LARGE: [u8; 32 << 20] = [b'x'; 32 << 20];
        let server = Server::bind(0).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stops = Stops(&stop);
            let serving = scope.spawn(|| server.serve(&LARGE, || stop.load(Ordering::Relaxed)));
            let mut stream = TcpStream::connect(server.address()).unwrap();
            write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).unwrap();
            // The answer has begun, and is longer than what the system keeps for a reader.
            stream.read_exact(&mut [0; 1]).unwrap();
            drop(stops);
            serving.join().unwrap().unwrap();
        });
    }
}
